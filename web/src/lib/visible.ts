// Text of others made safe to read: what has no shape of its own, or reorders what stands around it, is shown as a sign.
//
// React escapes markup by itself; this is about characters that lie to the eye: controls, bidirectional overrides,
// characters of no width, tags, and halves of surrogate pairs.

const always = String.raw`\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e00ff}\u{e01f0}-\u{e0fff}\p{Surrogate}`;
// Emoji and several scripts are written with these; in a name they can only make two that are different look alike.
const joining = String.raw`\u034f\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0e\u{e0100}-\u{e01ef}`;
// Each stands for itself here, and joins nothing.
/* eslint-disable no-misleading-character-class */
const hiddenInNames = new RegExp(`[${always}${joining}]`, 'gu');
const hiddenInProse = new RegExp(`[${always}]`, 'gu');
/* eslint-enable no-misleading-character-class */

function sign(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
}

function signButBreaks(character: string): string {
  return character === '\n' || character === '\t' ? character : sign(character);
}

/** A name, or another line: line breaks and tabs become signs, too. */
export function visible(text: string): string {
  return text.replace(hiddenInNames, sign);
}

/** Several lines: line breaks and tabs stay what they are. */
export function visibleLines(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(hiddenInNames, signButBreaks);
}

/** A line of a result, in any script. */
export function visibleProse(text: string): string {
  return text.replace(hiddenInProse, sign);
}

/** Lines of a result, in any script. */
export function visibleProseLines(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(hiddenInProse, signButBreaks);
}

/** Without what it hides, for the name of a file. */
export function withoutHidden(text: string): string {
  return text.replace(hiddenInProse, '');
}

/** At most `length` characters of one line; never half of a surrogate pair. */
export function excerpt(text: string, length: number): string {
  if (text.length <= length) return visible(text);
  const cut = text.slice(0, length).replace(/[\ud800-\udbff]$/, '');
  return `${visible(cut)}…`;
}
