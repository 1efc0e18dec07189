// Bytes, their hexadecimal form (by which this folder compares and orders keys, hashes and CIDs), hashes of both.
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';

/** Lower-case hexadecimal digits. Their order is that of the bytes. */
export type Hex = string;

export const hex = bytesToHex;
export const unhex = hexToBytes;
export const concat = concatBytes;
export const utf8 = utf8ToBytes;

export function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = nobleSha256.create();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Eight bytes, the most significant first. */
export function bigEndian(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

/** SHA-256 over the domain and the parts, each behind its length in eight bytes. */
export function taggedHash(domain: string, ...parts: Uint8Array[]): Uint8Array {
  const framed = [utf8(domain), ...parts].flatMap((part) => [bigEndian(part.length), part]);
  return sha256(...framed);
}

/** The number that a hash begins with. */
export function leadingNumber(hash: Uint8Array): bigint {
  return new DataView(hash.buffer, hash.byteOffset).getBigUint64(0);
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The root of RFC 6962's tree over at least one leaf. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  let level = leaves.map((leaf) => sha256(LEAF, leaf));
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i], level[i + 1]];
      if (left !== undefined) above.push(right === undefined ? left : sha256(NODE, left, right));
    }
    level = above;
  }
  return level[0] ?? sha256();
}
