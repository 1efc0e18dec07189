// Says what a result is from its first bytes. Bounded: never looks at more than SAMPLE bytes, whatever the size. JSON is only
// a guess here: the parser has the last word.

import { looksLikeCsv } from './csv';
import { invalidUtf8 } from './utf8';

export const SAMPLE = 64 * 1024;

export type ImageType = 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp';

export type Detected =
  | { kind: 'empty' }
  | { kind: 'image'; type: ImageType; width: number; height: number }
  | { kind: 'json' }
  | { kind: 'csv'; delimiter: number }
  | { kind: 'svg' }
  | { kind: 'text' }
  | { kind: 'binary' };

function startsWith(bytes: Uint8Array, text: string, at = 0): boolean {
  if (bytes.length < at + text.length) return false;
  for (let i = 0; i < text.length; i += 1) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function jpegSize(bytes: Uint8Array): [number, number] {
  const view = viewOf(bytes);
  let at = 2;
  // Each step passes a marker; an embedded preview or profile can take some hundred kB before the frame's header.
  for (let step = 0; step < 1000 && at + 9 < bytes.length && bytes[at] === 0xff; step += 1) {
    const marker = bytes[at + 1]!;
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc)
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += 2 + view.getUint16(at + 2);
  }
  return [0, 0];
}

function webpSize(bytes: Uint8Array): [number, number] {
  const view = viewOf(bytes);
  if (bytes.length < 30) return [0, 0];
  if (startsWith(bytes, 'VP8X', 12))
    return [1 + (view.getUint16(24, true) | (bytes[26]! << 16)), 1 + (view.getUint16(27, true) | (bytes[29]! << 16))];
  if (startsWith(bytes, 'VP8L', 12)) {
    const bits = view.getUint32(21, true);
    return [1 + (bits & 0x3fff), 1 + ((bits >>> 14) & 0x3fff)];
  }
  if (startsWith(bytes, 'VP8 ', 12)) return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  return [0, 0];
}

/** The image's type by its magic bytes and its size by its header; a size of 0 is not known. */
export function imageOf(bytes: Uint8Array): Extract<Detected, { kind: 'image' }> | null {
  const made = (type: ImageType, [width, height]: [number, number]) =>
    ({ kind: 'image', type, width, height }) as const;
  if (startsWith(bytes, '\x89PNG\r\n\x1a\n'))
    return made('image/png', bytes.length < 24 ? [0, 0] : [viewOf(bytes).getUint32(16), viewOf(bytes).getUint32(20)]);
  if (startsWith(bytes, 'GIF87a') || startsWith(bytes, 'GIF89a'))
    return made(
      'image/gif',
      bytes.length < 10 ? [0, 0] : [viewOf(bytes).getUint16(6, true), viewOf(bytes).getUint16(8, true)],
    );
  if (startsWith(bytes, '\xff\xd8\xff')) return made('image/jpeg', jpegSize(bytes));
  if (startsWith(bytes, 'RIFF') && startsWith(bytes, 'WEBP', 8)) return made('image/webp', webpSize(bytes));
  return null;
}

/** Text may hold a few broken bytes, and controls such as ANSI escapes; what is full of either is binary. */
function isBinary(sample: Uint8Array, goesOn: boolean): boolean {
  let controls = 0;
  for (const byte of sample) {
    if (byte === 0) return true;
    if (byte < 0x20 && byte !== 9 && byte !== 10 && byte !== 12 && byte !== 13 && byte !== 0x1b) controls += 1;
  }
  return controls > 1 + sample.length / 10 || invalidUtf8(sample, goesOn) > sample.length / 10;
}

export function detect(bytes: Uint8Array, name?: string): Detected {
  if (bytes.length === 0) return { kind: 'empty' };
  const image = imageOf(bytes);
  if (image) return image;
  const sample = bytes.subarray(0, SAMPLE);
  if (isBinary(sample, sample.length < bytes.length)) return { kind: 'binary' };
  const text = new TextDecoder().decode(sample);
  const head = text.trimStart();
  if (/^(<\?xml[^>]{0,200}\?>\s*)?(<!--[\s\S]{0,1000}?-->\s*)?(<!DOCTYPE svg[^>]{0,500}>\s*)?<svg[\s>/]/i.test(head))
    return { kind: 'svg' };
  if (/^(?:[[{"]|-?\d|-?Infinity|NaN|true\b|false\b|null\b)/.test(head) && !/^[\d-][^\n]*[,;\t|]/.test(head))
    return { kind: 'json' };
  const delimiter = looksLikeCsv(sample, sample.length < bytes.length, name);
  if (delimiter !== null) return { kind: 'csv', delimiter };
  return { kind: 'text' };
}
