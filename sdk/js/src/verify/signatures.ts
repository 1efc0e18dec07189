// Ed25519 by the ZIP-215 rule, over what a record's type, its federation and its body are together.
import { ed25519 } from '@noble/curves/ed25519.js';
import { concat, sha256, unhex, utf8, type Hex } from './bytes.js';
import { demand } from './refused.js';

const MAX_TYPE_BYTES = 64;
const ZERO = Uint8Array.of(0);

/** What every signature of the mesh begins with: whose words these are to be, and of what kind. */
export function signingPrefix(name: string, federation: Hex): Uint8Array {
  return concat(utf8('meshwork/1'), ZERO, utf8(name), ZERO, unhex(federation), ZERO);
}

/** Whether the key can stand for anybody: a point of the curve that is not of small order. */
export function isIdentity(key: Hex): boolean {
  try {
    return !ed25519.Point.fromBytes(unhex(key), true).isSmallOrder();
  } catch {
    return false;
  }
}

export function isSigned(key: Hex, message: Uint8Array, signature: Hex): boolean {
  try {
    return ed25519.verify(unhex(signature), message, unhex(key), { zip215: true });
  } catch {
    return false;
  }
}

export function checkRecordSignature(
  envelope: { body: Uint8Array; key: Hex; sig: Hex },
  type: string,
  federation: Hex,
): void {
  const size = utf8(type).length;
  demand(
    size > 0 && size <= MAX_TYPE_BYTES && !type.includes('\0'),
    "a record's type is empty, long or has a zero byte",
  );
  demand(isIdentity(envelope.key), 'a signer has a key that can stand for nobody');
  const message = concat(signingPrefix(type, federation), sha256(envelope.body));
  demand(isSigned(envelope.key, message, envelope.sig), `a "${type}" is not signed by its key in this federation`);
}
