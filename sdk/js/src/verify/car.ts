// The container: a CAR of version 1 with one root, whose blocks all have the hashes that name them.
//
// Bounds: 64 MiB in all, 2 MiB a block, 64 KiB of header.
import { sha256, hex, type Hex } from './bytes.js';
import { decodeMap, Link } from './cbor.js';
import { CID_BYTES, digestOf, readCid } from './cid.js';
import { demand, refuse } from './refused.js';

export const MAX_BUNDLE_BYTES = 64 * 2 ** 20;
const MAX_BLOCK_BYTES = 2 * 2 ** 20;
const HEADER_LIMITS = { bytes: 64 * 2 ** 10, depth: 8, items: 4096 };
const MAX_VARINT_BYTES = 5; // 2^35 is more than any length that is taken.

export interface Archive {
  root: Hex;
  /** In the order of the file. */
  blocks: Map<Hex, Uint8Array>;
}

class Cursor {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}
  get done(): boolean {
    return this.at === this.bytes.length;
  }
  /** A length in its shortest form. */
  length(most: number): number {
    let value = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; ++i) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) refuse('the file ends inside a length');
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      demand(value > 0 && (byte !== 0 || i === 0), 'a length is not positive and in its shortest form');
      demand(value <= most, `a part of the file is longer than ${most} bytes`);
      return value;
    }
    return refuse('a length is too long');
  }
  take(length: number): Uint8Array {
    demand(this.bytes.length - this.at >= length, 'the file ends inside a block');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function readRoot(header: Uint8Array): Hex {
  const map = decodeMap(header, HEADER_LIMITS);
  demand(map.get('version') === 1n && map.size === 2, 'the file is no CAR of version 1');
  const roots = map.get('roots');
  demand(Array.isArray(roots) && roots.length === 1, 'a proof bundle has exactly one root');
  const [root] = roots;
  demand(root instanceof Link, 'the root is no link');
  return readCid(root.cid);
}

export function readCar(bytes: Uint8Array): Archive {
  demand(bytes.length <= MAX_BUNDLE_BYTES, `the file is larger than ${MAX_BUNDLE_BYTES} bytes`);
  const cursor = new Cursor(bytes);
  const root = readRoot(cursor.take(cursor.length(HEADER_LIMITS.bytes)));
  const blocks = new Map<Hex, Uint8Array>();
  while (!cursor.done) {
    const section = cursor.take(cursor.length(MAX_BLOCK_BYTES + CID_BYTES));
    const cid = readCid(section.subarray(0, CID_BYTES));
    const block = section.subarray(CID_BYTES);
    demand(hex(sha256(block)) === digestOf(cid), 'a block has another hash than the one that names it');
    demand(!blocks.has(cid), 'a block is there twice');
    blocks.set(cid, block);
  }
  return { root, blocks };
}
