// Text of others made safe to read: what has no shape of its own, or reorders what stands around it, is shown as a sign.
//
// React escapes markup by itself; this is about characters that lie to the eye: controls, bidirectional overrides,
// characters of no width, tags, and halves of surrogate pairs.

// Each stands for itself here, and joins nothing.
const hidden =
  // eslint-disable-next-line no-misleading-character-class
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]|\p{Surrogate}/gu;

function sign(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
}

/** One line: line breaks and tabs become signs, too. */
export function visible(text: string): string {
  return text.replace(hidden, sign);
}

/** Several lines: line breaks and tabs stay what they are. */
export function visibleLines(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(hidden, (character) => {
    return character === '\n' || character === '\t' ? character : sign(character);
  });
}

/** At most `length` characters of one line; never half of a surrogate pair. */
export function excerpt(text: string, length: number): string {
  if (text.length <= length) return visible(text);
  const cut = text.slice(0, length).replace(/[\ud800-\udbff]$/, '');
  return `${visible(cut)}…`;
}
