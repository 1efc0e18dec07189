import { describe, expect, it } from 'vitest';
import { excerpt, visible, visibleLines } from './visible';

describe('visible', () => {
  it('leaves ordinary text of any script alone', () => {
    for (const text of ['plain', 'naïve café', '日本語', 'עברית', 'العربية', '🦊 ok', '<script>alert(1)</script>']) {
      expect(visible(text)).toBe(text);
    }
  });
  it('shows controls as their pictures', () => {
    expect(visible('a\u0000b\u001b[31mc\u007f\n')).toBe('a␀b␛[31mc␡␊');
  });
  it('shows what reorders text', () => {
    expect(visible('invoice\u202efdp.exe')).toBe('invoice⟨U+202E⟩fdp.exe');
    expect(visible('\u2066x\u2069\u061c')).toBe('⟨U+2066⟩x⟨U+2069⟩⟨U+061C⟩');
  });
  it('shows what has no width, tags and the byte order mark', () => {
    expect(visible('a\u200bb\ufeff\u{e0041}')).toBe('a⟨U+200B⟩b⟨U+FEFF⟩⟨U+E0041⟩');
  });
  it('shows a lone surrogate', () => {
    expect(visible('a\ud800b')).toBe('a⟨U+D800⟩b');
  });
  it('keeps line breaks and tabs where lines are wanted', () => {
    expect(visibleLines('a\r\nb\tc\rd\u202e')).toBe('a\nb\tc␍d⟨U+202E⟩');
  });
});

describe('excerpt', () => {
  it('does not cut a pair of surrogates in half', () => {
    expect(excerpt('ab🦊cd', 3)).toBe('ab…');
    expect(excerpt('ab', 3)).toBe('ab');
  });
});
