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
