// Makes text of strangers safe to look at: control characters, ANSI escapes and characters that reorder or hide text are
// shown by their names or code points. What comes out is still only text, never markup.

const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udc7f]/g;

const CONTROLS = [
  ...['NUL', 'SOH', 'STX', 'ETX', 'EOT', 'ENQ', 'ACK', 'BEL', 'BS', 'TAB', 'LF', 'VT', 'FF', 'CR', 'SO', 'SI'],
  ...['DLE', 'DC1', 'DC2', 'DC3', 'DC4', 'NAK', 'SYN', 'ETB', 'CAN', 'EM', 'SUB', 'ESC', 'FS', 'GS', 'RS', 'US'],
];

function nameOf(found: string): string {
  const code = found.codePointAt(0) ?? 0;
  if (code === 0x7f) return '\u27e8DEL\u27e9';
  if (code < 0x20) return `\u27e8${CONTROLS[code]}\u27e9`;
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
}

/** Text of many lines: keeps line feeds and tabs; the carriage return of a CRLF is dropped. */
export function printableText(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(HIDDEN, nameOf);
}

/** One line of at most `most` characters, as a name or the cell of a table. */
export function printableLine(text: string, most = 200): string {
  const cut = text.length > most ? `${text.slice(0, most)}\u2026` : text;
  return cut.replace(HIDDEN, nameOf).replace(/[\t\n]/g, nameOf);
}

/** A name for a file that is saved: no folders, no control characters, never empty, at most 100 characters. */
export function fileName(name: string | undefined, extension: string): string {
  const base = (name ?? '')
    .replace(HIDDEN, '')

    .replace(/[\u0000-\u001f<>:"/\\|?*]+/g, '_')
    .replace(/^[.\s]+|[.\s]+$/g, '')
    .slice(0, 100);
  const stem = base === '' ? 'result' : base;
  return extension === '' || stem.toLowerCase().endsWith(`.${extension}`) ? stem : `${stem}.${extension}`;
}

const COUNT = new Intl.NumberFormat('en');

export function count(value: number, one: string, many = `${one}s`): string {
  return `${COUNT.format(value)} ${value === 1 ? one : many}`;
}

export function byteSize(bytes: number): string {
  if (bytes < 1024) return count(bytes, 'byte');
  const units = ['KiB', 'MiB', 'GiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}
