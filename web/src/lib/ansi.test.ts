import { describe, expect, it } from 'vitest';
import { ansiClass, parseAnsi, withoutAnsi } from './ansi';

const textOf = (text: string) =>
  parseAnsi(text)
    .spans.map((span) => span.text)
    .join('');

describe('parseAnsi', () => {
  it('colours what stands between escapes', () => {
    expect(parseAnsi('a \u001b[1;31mred\u001b[0m b').spans).toEqual([
      { text: 'a ', style: {} },
      { text: 'red', style: { bold: true, color: 1 } },
      { text: ' b', style: {} },
    ]);
  });
  it('carries a style on to the next piece', () => {
    const first = parseAnsi('\u001b[32mgreen');
    expect(parseAnsi('still', first.style).spans).toEqual([{ text: 'still', style: { color: 2 } }]);
  });
  it('takes bright, indexed and true colours to the sixteen', () => {
    const colorOf = (code: string) => parseAnsi(`\u001b[${code}mx`).spans[0]?.style.color;
    expect(colorOf('94')).toBe(12);
    expect(colorOf('38;5;9')).toBe(9);
    expect(colorOf('38;5;196')).toBe(1);
    expect(colorOf('38;2;250;250;250')).toBe(15);
    expect(colorOf('38;5;999')).toBeUndefined();
    expect(colorOf('38;2;1e9;0;0')).toBeUndefined();
  });
  it('drops cursor movement, titles, links and strings', () => {
    expect(textOf('a\u001b[2J\u001b[10;10Hb')).toBe('ab');
    expect(textOf('a\u001b]0;evil title\u0007b')).toBe('ab');
    expect(textOf('a\u001b]8;;javascript:alert(1)\u001b\\link\u001b]8;;\u001b\\b')).toBe('alinkb');
    expect(textOf('a\u001bPq#0;2;0;0;0\u001b\\b')).toBe('ab');
    expect(textOf('a\u009b31mb')).toBe('ab');
  });
  it('swallows an escape that never ends', () => {
    expect(textOf('a\u001b]0;title')).toBe('a');
    expect(textOf('a\u001b[')).toBe('a');
  });
  it('shows other controls and bidirectional overrides', () => {
    expect(textOf('a\u0000\u202eb')).toBe('a␀⟨U+202E⟩b');
  });
  it('keeps markup as text', () => {
    expect(textOf('<img src=x onerror=alert(1)>')).toBe('<img src=x onerror=alert(1)>');
  });
  it('is linear in what it reads', () => {
    expect(textOf('\u001b['.repeat(50_000))).toBe('');
    expect(textOf('\u001b]'.repeat(50_000)).length).toBeLessThan(50_000);
  });
});

describe('withoutAnsi', () => {
  it('leaves what is searched', () => {
    expect(withoutAnsi('\u001b[31merr\u001b[0mor')).toBe('error');
  });
});

describe('ansiClass', () => {
  it('names classes of the style sheet alone', () => {
    expect(ansiClass({ color: 3, bold: true })).toBe('ansi-3 ansi-bold');
    expect(ansiClass({})).toBeUndefined();
  });
});
