// Bundles whose hashes are all right, since who forged them made them anew, but whose content is not.
import { ed25519 } from '@noble/curves/ed25519.js';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { concat, hex, sha256, unhex, utf8, type Hex } from './bytes.js';
import { readBundle, type Bundle } from './bundle.js';
import { decodeMap } from './cbor.js';
import { cidOf, codecOf } from './cid.js';
import { verifyBundle } from './index.js';
import * as records from './records.js';
import { read } from './schema.js';
import { signingPrefix } from './signatures.js';

const load = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/fixtures/${name}.car`, import.meta.url)));

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let left = value; left > 0; left >>>= 7) bytes.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
  return Uint8Array.from(bytes);
}

function head(major: number, count: number): Uint8Array {
  if (count < 24) return Uint8Array.of((major << 5) | count);
  return count < 256
    ? Uint8Array.of((major << 5) | 24, count)
    : Uint8Array.of((major << 5) | 25, count >> 8, count & 255);
}
const text = (value: string) => concat(head(3, value.length), utf8(value));
const links = (cids: readonly Hex[]) =>
  concat(head(4, cids.length), ...cids.map((cid) => concat(Uint8Array.of(0xd8, 0x2a, 0x58, 0x25, 0), unhex(cid))));

function listBytes(envelopes: readonly Hex[], contents: readonly Hex[]): Uint8Array {
  const fields = [text('v'), head(0, 1), text('type'), text('proof-list'), text('contents'), links(contents)];
  return concat(head(5, 4), ...fields, text('envelopes'), links(envelopes));
}

/** The file again, with other envelopes, and all that names them made anew. Of a bundle with one list. */
function withEnvelopes(bundle: Bundle, original: Uint8Array, envelopes: readonly [Hex, Uint8Array][]): Uint8Array {
  const [oldList = ''] = bundle.head.lists;
  const list = listBytes(
    envelopes.map(([cid]) => cid),
    bundle.contents,
  );
  const listCid = cidOf(0x71, list);
  const replace = (bytes: Uint8Array, from: Hex, to: Hex) => unhex(hex(bytes).replace(from, to));
  const root = replace(bundle.block(bundle.root), oldList, listCid);
  const rootCid = cidOf(0x71, root);
  const policy = read(records.TaskIntent, read(records.Envelope, envelopes[0]![1], '').body, '').policy;
  const blocks: [Hex, Uint8Array][] = [
    [rootCid, root],
    [policy, bundle.block(policy)],
    ...envelopes,
    ...bundle.contents.map((cid): [Hex, Uint8Array] => [cid, bundle.block(cid)]),
    [listCid, list],
  ];
  const header = replace(original.subarray(0, 1 + original[0]!), bundle.root, rootCid);
  return concat(header, ...blocks.map(([cid, block]) => concat(varint(block.length + 36), unhex(cid), block)));
}

const original = load('verified');
const bundle = readBundle(original);
const envelopes = bundle.envelopes.map((cid): [Hex, Uint8Array] => [cid, bundle.block(cid)]);
const typeOf = (block: Uint8Array) => decodeMap(read(records.Envelope, block, '').body).get('type');

it('makes the same file again', () => {
  expect(codecOf(bundle.root)).toBe(0x71);
  expect(hex(sha256(withEnvelopes(bundle, original, envelopes)))).toBe(hex(sha256(original)));
});

it('refuses a bundle without any one of its records that something rests on', async () => {
  const missing: Record<string, boolean> = {};
  for (const [i, [, block]] of envelopes.entries()) {
    const type = String(typeOf(block));
    if (type in missing || i === 0 || type === 'verdict') continue;
    const report = await verifyBundle(withEnvelopes(bundle, original, envelopes.toSpliced(i, 1)));
    missing[type] = report.holds;
  }
  expect(missing).toMatchObject({
    roster: false,
    'compute-offer': false,
    award: false,
    commitment: false,
    'round-open': false,
    'nonce-reveal': false,
    draw: false,
    'execution-receipt': false,
    'verification-receipt': false,
  });
});

it('refuses a record that somebody else signed', async () => {
  const secret = new Uint8Array(32).fill(7);
  const key = ed25519.getPublicKey(secret);
  for (const wanted of ['task-intent', 'verdict', 'verification-receipt', 'commitment', 'draw']) {
    const at = envelopes.findIndex(([, block]) => typeOf(block) === wanted);
    const [, block] = envelopes[at]!;
    const { body, key: oldKey, sig } = read(records.Envelope, block, '');
    const message = concat(signingPrefix(wanted, bundle.head.federation), sha256(body));
    const forged = unhex(
      hex(block)
        .replace(oldKey, hex(key))
        .replace(sig, hex(ed25519.sign(message, secret))),
    );
    const changed = envelopes.with(at, [cidOf(0x71, forged), forged]);
    const report = await verifyBundle(withEnvelopes(bundle, original, changed));
    expect([wanted, report.holds]).toEqual([wanted, false]);
    // With the old key the new signature does not hold.
    const unsigned = unhex(hex(block).replace(sig, hex(ed25519.sign(message, secret))));
    const again = envelopes.with(at, [cidOf(0x71, unsigned), unsigned]);
    const { statements } = await verifyBundle(withEnvelopes(bundle, original, again));
    expect(statements.find((one) => one.holds === false)?.why).toContain('is not signed by its key');
  }
});
