// Bundles that real nodes made (test/bundles.test.ts), as they are and damaged.
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hex, sha256, unhex } from './bytes.js';
import { decode } from './cbor.js';
import { readCar } from './car.js';
import { verifyBundle } from './index.js';

const FOLDER = new URL('../../test/fixtures/', import.meta.url);
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.car'));
const load = (name: string) => new Uint8Array(readFileSync(new URL(name, FOLDER)));

/** The same numbers in each run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

function writeCar(original: Uint8Array, blocks: readonly [string, Uint8Array][]): Uint8Array {
  const header = original.subarray(0, 1 + (original[0] ?? 0));
  const parts = blocks.flatMap(([cid, block]) => {
    const length: number[] = [];
    for (let left = block.length + 36; left > 0; left >>>= 7) length.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    return [Uint8Array.from(length), unhex(cid), block];
  });
  return new Uint8Array(Buffer.concat([header, ...parts]));
}

async function expectRefused(bytes: Uint8Array): Promise<void> {
  const report = await verifyBundle(bytes);
  expect(report.holds).toBe(false);
  expect(report.statements.some((one) => one.holds === false && one.why !== '')).toBe(true);
}

describe.each(NAMES)('%s', (name) => {
  const good = load(name);

  it('holds, and says what was not checked', async () => {
    const report = await verifyBundle(good);
    expect(report.statements.filter((one) => one.holds === false)).toEqual([]);
    expect(report.holds).toBe(true);
    expect(report.job?.missing).toBe((report.job?.shards ?? 0) - report.shards.length);
    expect(report.statements.filter((one) => one.holds === 'not-checked').every((one) => one.why !== '')).toBe(true);
  });
  it('is refused with any bit flipped', async () => {
    const next = randomNumbers(7);
    for (let i = 0; i < 60; ++i) {
      const bad = good.slice();
      const bit = next() % (bad.length * 8);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await expectRefused(bad);
    }
  });
  it('is refused cut anywhere', async () => {
    const next = randomNumbers(8);
    for (let i = 0; i < 40; ++i) await expectRefused(good.slice(0, next() % good.length));
  });
  it('is refused with a block left out, twice or in another place', async () => {
    const blocks = [...readCar(good).blocks];
    expect(hex(sha256(writeCar(good, blocks)))).toBe(hex(sha256(good)));
    const step = Math.ceil(blocks.length / 12);
    for (let i = 0; i < blocks.length; i += step) await expectRefused(writeCar(good, blocks.toSpliced(i, 1)));
    await expectRefused(writeCar(good, [...blocks, ...blocks.slice(-1)]));
    for (let i = 1; i < blocks.length; i += step) {
      const [one, other] = [blocks[i - 1]!, blocks[i]!];
      await expectRefused(writeCar(good, blocks.toSpliced(i - 1, 2, other, one)));
    }
  });
});

describe('DAG-CBOR', () => {
  const bad = {
    'a number that is not in its shortest form': '1801',
    'keys out of order': 'a2616201616101',
    'a key twice': 'a2616101616102',
    'an indefinite list': '9f01ff',
    'a float': 'fb3ff0000000000000',
    'another tag': 'c101',
    'bytes after the value': '0101',
    'a length past the end': '5b7fffffffffffffff',
    'a count past the end': '9b7fffffffffffffff',
    'text that is not UTF-8': '61ff',
    'too deep': '81'.repeat(17) + '01',
  };
  it.each(Object.entries(bad))('refuses %s', (_, digits) => {
    expect(() => decode(unhex(digits))).toThrow(/DAG-CBOR at byte/);
  });
});

it('refuses what is no bundle, without an exception', async () => {
  for (const bytes of [new Uint8Array(), Uint8Array.of(0), new Uint8Array(1000).fill(0xff)]) await expectRefused(bytes);
});
