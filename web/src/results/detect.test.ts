import { describe, expect, it } from 'vitest';

import { detect, imageOf } from './detect';
import { random } from './testing';

const encode = (text: string) => new TextEncoder().encode(text);
const latin = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe('detect', () => {
  it.each([
    ['', 'empty'],
    ['{"a": 1}', 'json'],
    ['  [1, 2]', 'json'],
    ['"text"', 'json'],
    ['-1.5e3', 'json'],
    ['NaN', 'json'],
    ['{"a":1}\n{"a":2}\n', 'json'],
    ['1\n2\n3\n', 'json'],
    ['a,b\n1,2\n3,4\n', 'csv'],
    ['1,2\n3,4\n', 'csv'],
    ['a\tb\n1\t2\n', 'csv'],
    ['a;b\n1,5;2\n', 'csv'],
    ['Dear Sir, thank you, I am well, but poor.\nYours, of course, in haste, a friend.\n', 'text'],
    ['hello', 'text'],
    ['\u001b[31mred\u001b[0m\n', 'text'],
    ['<svg xmlns="http://www.w3.org/2000/svg"></svg>', 'svg'],
    ['<?xml version="1.0"?>\n<!-- x -->\n<svg/>', 'svg'],
    ['<html><svg></svg></html>', 'text'],
    ['<script>alert(1)</script>', 'text'],
    ['a\u0000b', 'binary'],
  ])('takes %j for %s', (text, kind) => {
    expect(detect(encode(text)).kind).toBe(kind);
  });

  it('forgives a few broken bytes, not many', () => {
    const text = encode('some text that is long enough to forgive one byte');
    expect(detect(Uint8Array.from([...text, 0xff, ...text])).kind).toBe('text');
    expect(detect(new Uint8Array(100).fill(0xff)).kind).toBe('binary');
  });

  it('does not take a sequence that its sample cuts for a broken one', () => {
    expect(detect(encode('\u20ac'.repeat(60_000))).kind).toBe('text');
  });

  it('takes a name for a hint only where the text fits', () => {
    expect(detect(encode('a,b'), 'x.csv').kind).toBe('csv');
    expect(detect(encode('no delimiter'), 'x.csv').kind).toBe('text');
  });

  it('has an answer for any bytes', () => {
    const next = random(9);
    const starts = [
      '',
      '\x89PNG\r\n\x1a\n',
      'GIF89a',
      '\xff\xd8\xff',
      'RIFF....WEBPVP8X',
      'RIFF....WEBPVP8L',
      '<svg ',
      '{',
      '"',
    ];
    for (let i = 0; i < 2000; i += 1) {
      const start = starts[i % starts.length]!;
      const tail = Array.from({ length: Math.floor(next() * 40) }, () => Math.floor(next() * 256));
      expect(detect(Uint8Array.from([...latin(start), ...tail])).kind).toMatch(/^\w+$/);
    }
  });
});

describe('imageOf', () => {
  it.each([
    ['\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\0\x40', 'image/png', 256, 64],
    ['GIF89a\x10\0\x20\0', 'image/gif', 16, 32],
    ['\xff\xd8\xff\xe0\0\x04\0\0\xff\xc0\0\x0b\x08\0\x30\0\x20\x01\x11\0', 'image/jpeg', 32, 48],
    ['RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0', 'image/webp', 16, 32],
  ])('reads type and size', (text, type, width, height) => {
    expect(imageOf(latin(text))).toEqual({ kind: 'image', type, width, height });
  });

  it('knows no size of a header that is cut', () => {
    expect(imageOf(latin('\x89PNG\r\n\x1a\n'))).toMatchObject({ width: 0, height: 0 });
    expect(imageOf(latin('\xff\xd8\xff\xe0\0\0'))).toMatchObject({ width: 0, height: 0 });
  });
});
