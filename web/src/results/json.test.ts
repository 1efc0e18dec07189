import { describe, expect, it } from 'vitest';

import { type JsonDocument, Kind, MAX_DEPTH, type Parsed, parseJson } from './json';
import { random } from './testing';
import { finish } from './work';

const encode = (text: string) => new TextEncoder().encode(text);
const parse = (text: string | Uint8Array, lines = false, most?: number): Parsed =>
  finish(parseJson(typeof text === 'string' ? encode(text) : text, lines, most));

function documentOf(text: string, lines = false): JsonDocument {
  const parsed = parse(text, lines);
  if (!parsed.ok) throw new Error(`${parsed.error.message} at ${parsed.error.offset}`);
  return parsed.document;
}

/** The value that a node stands for, to compare with JSON.parse. */
function valueOf(document: JsonDocument, node = 0): unknown {
  const children = [...document.children(node)];
  switch (document.kind(node)) {
    case Kind.null:
      return null;
    case Kind.false:
      return false;
    case Kind.true:
      return true;
    case Kind.number:
      return document.number(node);
    case Kind.string:
      return document.text(node, Number.MAX_SAFE_INTEGER);
    case Kind.array:
      return children.map((child) => valueOf(document, child));
    case Kind.object:
      return Object.fromEntries(children.map((child) => [document.key(child), valueOf(document, child)]));
  }
}

function randomValue(next: () => number, depth: number): unknown {
  const pick = Math.floor(next() * (depth > 3 ? 5 : 7));
  const size = Math.floor(next() * 5);
  if (pick === 0) return null;
  if (pick === 1) return next() < 0.5;
  if (pick === 2) return Math.floor(next() * 2e6) - 1e6;
  if (pick === 3) return next() * 10 ** Math.floor(next() * 40 - 20);
  if (pick === 4) return String.fromCharCode(...Array.from({ length: size }, () => Math.floor(next() * 0xd800)));
  if (pick === 5) return Array.from({ length: size }, () => randomValue(next, depth + 1));
  return Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}\u20ac"`, randomValue(next, depth + 1)]));
}

describe('parseJson', () => {
  it('reads what JSON.stringify writes', () => {
    const next = random(7);
    for (let i = 0; i < 500; i += 1) {
      const text = JSON.stringify(randomValue(next, 0), null, i % 3);
      expect(valueOf(documentOf(text)), text).toEqual(JSON.parse(text));
    }
  });

  it('agrees with JSON.parse on what is not JSON', () => {
    const next = random(11);
    let refused = 0;
    for (let i = 0; i < 3000; i += 1) {
      const text = JSON.stringify([randomValue(next, 1), { a: randomValue(next, 1) }]);
      const at = Math.floor(next() * text.length);
      const broken = text.slice(0, at) + '[]{},:"\\0e-. \u0001'.charAt(Math.floor(next() * 15)) + text.slice(at + 1);
      let isJson = true;
      try {
        JSON.parse(broken);
      } catch {
        isJson = false;
        refused += 1;
      }
      // A lone surrogate does not survive the encoding, and is no difference of grammar.
      expect(parse(broken).ok, broken).toBe(isJson);
    }
    expect(refused).toBeGreaterThan(1000);
  });

  it('keeps the text of numbers that a double does not hold', () => {
    const document = documentOf('[18446744073709551615, 1e400, -0, 0.1000]');
    expect([...document.children(0)].map((node) => document.text(node))).toEqual([
      '18446744073709551615',
      '1e400',
      '-0',
      '0.1000',
    ]);
    expect(document.number(2)).toBe(Number.POSITIVE_INFINITY);
  });

  it('takes NaN and Infinity, and counts them', () => {
    const document = documentOf('[NaN, Infinity, -Infinity, 1]');
    expect(document.nonStandard).toBe(3);
    expect(document.number(3)).toBe(Number.NEGATIVE_INFINITY);
  });

  it.each([
    ['', 0, 'a value is expected'],
    ['[1,]', 3, 'a value is expected'],
    ['{"a":1,}', 7, 'a key in quotes'],
    ['{a:1}', 1, 'a key in quotes'],
    ['[1 2]', 3, "',' or ']' is expected"],
    ['[1}', 2, "',' or ']' is expected"],
    ['01', 1, 'must not begin with 0'],
    ['1.', 2, 'a digit is expected'],
    ['"a\u0001"', 2, 'must be escaped'],
    ['"\\x"', 1, 'no escape'],
    ['"\\u12g4"', 1, 'four hexadecimal digits'],
    ['"abc', 4, 'has no end'],
    ['[1] [2]', 4, 'the value has ended'],
    ['nul', 0, 'a value is expected'],
    ['1e+', 3, 'a digit is expected'],
  ])('refuses %j at byte %i', (text, offset, message) => {
    const parsed = parse(text);
    expect(parsed).toMatchObject({ ok: false, error: { offset, message: expect.stringContaining(message) as string } });
  });

  it.each([[[0xff]], [[0xc0, 0xaf]], [[0xed, 0xa0, 0x80]], [[0xf5, 0x80, 0x80, 0x80]], [[0xe2, 0x82]]])(
    'refuses invalid UTF-8 %j in a string',
    (bytes) => {
      const parsed = parse(Uint8Array.from([0x22, ...bytes, 0x22]));
      expect(parsed).toMatchObject({ ok: false, error: { offset: 1, message: 'a string holds invalid UTF-8' } });
    },
  );

  it('bounds depth and number of nodes', () => {
    expect(parse('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH)).ok).toBe(true);
    expect(parse('['.repeat(1_000_000))).toMatchObject({ ok: false, error: { offset: MAX_DEPTH } });
    expect(parse('[1,2,3]', false, 3)).toMatchObject({ ok: false, error: { offset: 5 } });
  });

  it('reads one value per line', () => {
    expect(valueOf(documentOf('{"a":1}\n[2]\r\n\n3\n', true))).toEqual([{ a: 1 }, [2], 3]);
    expect(parse('1 2\n', true)).toMatchObject({ ok: false, error: { offset: 2 } });
  });

  it('takes no key for one of the object prototype', () => {
    const document = documentOf('{"__proto__": 1, "constructor": 2}');
    expect(document.key(1)).toBe('__proto__');
    expect(document.text(1)).toBe('1');
  });

  it('finds members by key, whichever comes first', () => {
    const document = documentOf('[{"a":1,"b":2},{"b":3,"a":4}]');
    const [first, second] = [...document.children(0)];
    const key = encode('b');
    expect(document.text(document.member(first!, key))).toBe('2');
    expect(document.text(document.member(second!, key, 2))).toBe('3');
    expect(document.member(second!, encode('c'))).toBe(-1);
  });
});
