// Bytes as text and back. What is decoded comes from guests: invalid UTF-8 becomes U+FFFD, or an error where asked.
import { BadAnswer } from './errors.js';

const ALPHABET = /^[A-Za-z0-9+/]*$/;

export function encodeBase64(bytes: Uint8Array): string {
  let text = '';
  const step = 0x8000; // Of arguments of one call.
  for (let i = 0; i < bytes.length; i += step) text += String.fromCharCode(...bytes.subarray(i, i + step));
  return btoa(text);
}

/** Multibase base64 without padding ("m..."), as logs travel. */
export function decodeMultibase64(text: string): Uint8Array {
  const digits = text.slice(1);
  if (!text.startsWith('m') || !ALPHABET.test(digits) || digits.length % 4 === 1)
    throw new BadAnswer('the node sent a log line that is not multibase base64');
  return Uint8Array.from(atob(digits), (char) => char.charCodeAt(0));
}

/** Text that is UTF-8, or BadAnswer. */
export function asText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new BadAnswer('a result is not UTF-8 text', 0, error);
  }
}

/** JSON, strictly: NaN and infinities are none, and a number past what a double holds is refused. */
export function asJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(asText(bytes), (_, value: unknown) => {
      if (typeof value === 'number' && !Number.isFinite(value))
        throw new SyntaxError('a number past what a double holds');
      return value;
    });
  } catch (error) {
    if (error instanceof BadAnswer) throw error;
    throw new BadAnswer('a result is not JSON', 0, error);
  }
}
