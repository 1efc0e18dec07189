// CIDs as Meshwork names content: version 1, sha2-256, raw, dag-pb or dag-cbor. In hexadecimal, so that equal ones are equal
// strings and their order is that of their bytes.
import { base32 } from 'multiformats/bases/base32';
import { base58btc } from 'multiformats/bases/base58';
import { concat, hex, sha256, unhex, type Hex } from './bytes.js';
import { demand } from './refused.js';

export const RAW = 0x55;
export const DAG_PB = 0x70;
export const DAG_CBOR = 0x71;
export const CID_BYTES = 36;

/** The hexadecimal form of the CID that these bytes are. */
export function readCid(bytes: Uint8Array): Hex {
  const [version, codec, hash, length] = bytes;
  demand(bytes.length === CID_BYTES && version === 1 && hash === 0x12 && length === 32, 'a CID is not of sha2-256');
  demand(codec === RAW || codec === DAG_PB || codec === DAG_CBOR, 'a CID is not raw, dag-pb or dag-cbor');
  return hex(bytes);
}

export function cidOf(codec: number, block: Uint8Array): Hex {
  return hex(concat(Uint8Array.of(1, codec, 0x12, 32), sha256(block)));
}

export function codecOf(cid: Hex): number {
  return Number.parseInt(cid.slice(2, 4), 16);
}
export function digestOf(cid: Hex): Hex {
  return cid.slice(8);
}
/** As people see it. */
export function cidText(cid: Hex): string {
  return base32.encode(unhex(cid));
}

const PEER_PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20);
const DID_PREFIX = Uint8Array.of(0xed, 0x01);

/** A node's key as libp2p spells it. */
export function peerId(key: Hex): string {
  return base58btc.baseEncode(concat(PEER_PREFIX, unhex(key)));
}
/** A node's key as a did:key. */
export function didOf(key: Hex): string {
  return `did:key:${base58btc.encode(concat(DID_PREFIX, unhex(key)))}`;
}
