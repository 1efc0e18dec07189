import { describe, expect, it } from 'vitest';

import { visibleProseLines } from '../lib/visible';
import { fileName, printableLine } from './printable';
import { textBlocks } from './TextView';
import { boundary, invalidUtf8, sequenceLength } from './utf8';
import { random } from './testing';

describe('visibleProseLines', () => {
  it.each([
    ['\u001b[2J', '␛[2J'],
    ['a\u0000b\u007f', 'a␀b␡'],
    ['\u202eabc\u2066', '⟨U+202E⟩abc⟨U+2066⟩'],
    ['\u200e\u061c\ufeff', '⟨U+200E⟩⟨U+061C⟩⟨U+FEFF⟩'],
    ['\u009b31m', '⟨U+009B⟩31m'],
    ['\u2028', '⟨U+2028⟩'],
    ['\ud800x', '⟨U+D800⟩x'],
    ['\u{e0041}', '⟨U+E0041⟩'],
    ['a\r\nb\tc\r', 'a\nb\tc␍'],
    ['\u05d0\u05d1 \u{1f469}\u200d\u{1f680} \u00e9', '\u05d0\u05d1 \u{1f469}\u200d\u{1f680} \u00e9'],
  ])('shows %j as %j', (text, shown) => {
    expect(visibleProseLines(text)).toBe(shown);
  });
});

describe('printableLine', () => {
  it('is one line of bounded length', () => {
    expect(printableLine('a\nb\tc')).toBe('a␊b␉c');
    expect(printableLine('x'.repeat(1000), 10)).toBe(`${'x'.repeat(10)}…`);
  });
});

describe('fileName', () => {
  it.each([
    [undefined, 'csv', 'result.csv'],
    ['../../etc/passwd', 'txt', '_.._etc_passwd.txt'],
    ['a\u202egnp.exe', 'png', 'agnp.exe.png'],
    ['x.svg', 'svg', 'x.svg'],
    ['..', '', 'result'],
    ['con:<>|?*"', '', 'con_'],
    ['n'.repeat(300), 'csv', `${'n'.repeat(100)}.csv`],
  ])('makes of %j and %j %j', (name, extension, made) => {
    expect(fileName(name, extension)).toBe(made);
  });
});

describe('UTF-8', () => {
  it('judges random bytes as a strict decoder does', () => {
    const next = random(13);
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const starts = [0x41, 0xc2, 0xe0, 0xe1, 0xed, 0xf0, 0xf4, 0xf5, 0x80, 0xc0];
    for (let i = 0; i < 5000; i += 1) {
      const bytes = Uint8Array.from([
        starts[i % 10]!,
        ...Array.from({ length: 3 }, () => 0x70 + Math.floor(next() * 0x60)),
      ]);
      const length = sequenceLength(bytes, 0);
      const isValid = (to: number) => {
        try {
          strict.decode(bytes.subarray(0, to));
          return true;
        } catch {
          return false;
        }
      };
      if (length > 0) expect(isValid(length)).toBe(true);
      else expect([1, 2, 3, 4].some(isValid)).toBe(false);
    }
  });

  it('counts broken bytes, but not a sequence that the end cuts', () => {
    expect(invalidUtf8(Uint8Array.from([0x41, 0xff]), true)).toBe(1);
    const cut = new TextEncoder().encode('ab\u20ac').subarray(0, 4);
    expect(invalidUtf8(cut, true)).toBe(0);
    expect(invalidUtf8(cut, false)).toBe(2);
  });

  it('cuts between sequences', () => {
    const bytes = new TextEncoder().encode('a\u20acb');
    expect([0, 1, 2, 3, 4, 5, 9].map((at) => boundary(bytes, at))).toEqual([0, 1, 1, 1, 4, 5, 5]);
  });
});

describe('textBlocks', () => {
  it('loses nothing, wherever it breaks', () => {
    const text = '\u20ac\u{1f680}x'.repeat(30_000);
    const bytes = new TextEncoder().encode(text);
    const blocks = textBlocks(bytes, bytes.length);
    expect(blocks.length).toBeGreaterThan(2);
    expect(blocks.join('')).toBe(text);
  });
});
