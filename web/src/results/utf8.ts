// UTF-8 as the Encoding Standard has it: shortest forms only, no surrogates, nothing beyond U+10FFFF.

/** Length of the sequence that begins at `at`, or 0 if there is none that is valid. */
export function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const tail = (i: number) => (bytes[at + i]! & 0xc0) === 0x80;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  const second = bytes[at + 1]!;
  if (first >= 0xe0 && first <= 0xef) {
    if (!tail(1) || !tail(2) || (first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3) || (first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f))
      return 0;
    return 4;
  }
  return 0;
}

/** A sequence that may be valid, but whose end is not there. */
function isUnfinished(bytes: Uint8Array, at: number): boolean {
  const first = bytes[at]!;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length <= bytes.length) return false;
  return bytes.subarray(at + 1).every((byte) => (byte & 0xc0) === 0x80);
}

/** How many bytes of these are in no valid sequence. Where the text goes on, a sequence that the end cuts is not counted. */
export function invalidUtf8(bytes: Uint8Array, goesOn: boolean): number {
  let invalid = 0;
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length === 0 && goesOn && isUnfinished(bytes, at)) break;
    if (length === 0) invalid += 1;
    at += Math.max(1, length);
  }
  return invalid;
}

/** The last place at or before `at` where a sequence begins. */
export function boundary(bytes: Uint8Array, at: number): number {
  if (at >= bytes.length) return bytes.length;
  for (let back = 0; back < 4 && at - back >= 0; back += 1) if ((bytes[at - back]! & 0xc0) !== 0x80) return at - back;
  return at;
}

const decoder = new TextDecoder();
const SHORT = 64;

/** The text of some bytes; quick for the short and plain ones that almost all keys and numbers are. */
export function decode(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > SHORT) return decoder.decode(bytes.subarray(start, end));
  let text = '';
  for (let i = start; i < end; i += 1) {
    const byte = bytes[i]!;
    if (byte >= 0x80) return decoder.decode(bytes.subarray(start, end));
    text += String.fromCharCode(byte);
  }
  return text;
}
