// Where in the source a guest failed, read out of what it wrote to stderr (Python, JavaScript) or what the node said
// of a text that does not parse or of a trap (WAT).
//
// Bounds: the last 64 KiB of the log and 64 frames. The log is the guest's and may say anything: a line outside of the
// source is dropped, so that the worst it does is to mark another line of the program that wrote it.

export interface Frame {
  readonly line: number;
  readonly column?: number;
  readonly name?: string;
}

export interface GuestError {
  readonly message: string;
  readonly frames: readonly Frame[]; // innermost first
}

export type ScriptLanguage = 'python' | 'javascript' | 'wat';

const maxBytes = 64 << 10;
const maxFrames = 64;

function frame(line: string | undefined, column?: string, name?: string): Frame {
  return { line: Number(line), ...(column ? { column: Number(column) } : {}), ...(name ? { name } : {}) };
}

function pythonError(log: string): GuestError | null {
  const start = Math.max(log.lastIndexOf('Traceback (most recent call last):'), 0);
  const text = log.slice(start);
  const frames = [...text.matchAll(/^ {2}File "\/program\/main\.py", line (\d{1,7})(?:, in (.+))?$/gm)].map((match) =>
    frame(match[1], undefined, match[2]),
  );
  if (frames.length === 0) return null;
  // The message is the last line that begins at the margin: a type, with what it says behind a colon.
  const messages = [
    ...text.matchAll(/^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Iteration)?(?::.*)?)$/gm),
  ];
  const message = messages.at(-1)?.[1] ?? 'the function failed';
  return { message, frames: frames.reverse().slice(0, maxFrames) };
}

function scriptError(log: string): GuestError | null {
  const places = [
    ...log.matchAll(/^ +at (?:(.+?) \()?(?:file:\/\/)?\/program\/main\.m?js:(\d{1,7})(?::(\d{1,7}))?\)?$/gm),
  ];
  const first = places[0];
  if (!first) return null;
  const before = log.slice(0, first.index).trimEnd().split('\n');
  const message = before.reverse().find((line) => !/^ +at /.test(line) && line.trim() !== '') ?? 'the function failed';
  return {
    message: message.trim(),
    frames: places.slice(0, maxFrames).map((match) => frame(match[2], match[3], match[1])),
  };
}

function watError(text: string): GuestError | null {
  const match = /does not parse:\s*(.+?)\s*-->\s*\S*?:(\d{1,7}):(\d{1,7})/s.exec(text);
  return match ? { message: match[1] ?? '', frames: [frame(match[2], match[3])] } : null;
}

/** Where a function stands that a trap is said to have come from ("trap: unreachable in boom"); null where it has no name there. */
export function watTrap(failure: string, source: string): GuestError | null {
  const match = /\b(trap: [^\n]{1,200} in ([\w!#$%&'*+./:<=>?@\\^`|~-]{1,256}))$/.exec(failure);
  const [, message = '', name = ''] = match ?? [];
  if (name === '') return null;
  const line = source
    .split('\n')
    .findIndex((text) =>
      text.split(/[\s()]+/).some((word, at, words) => word === `$${name}` && words[at - 1] === 'func'),
    );
  return line < 0 ? null : { message, frames: [{ line: line + 1, name }] };
}

/** Null where nothing in `text` names a line of a source of `lines` lines. */
export function parseGuestError(language: ScriptLanguage, text: string, lines = Infinity): GuestError | null {
  const tail = text.slice(-maxBytes).replace(/\r\n/g, '\n');
  const parse = { python: pythonError, javascript: scriptError, wat: watError }[language];
  const error = parse(tail);
  if (!error) return null;
  const frames = error.frames.filter((one) => one.line >= 1 && one.line <= lines);
  return frames.length > 0 ? { message: error.message.slice(0, 2000), frames } : null;
}
