import { afterEach, describe, expect, it } from 'vitest';
import { dropToken, takeToken, tokenIn } from './token';

const token = 'u5M_oMih-qfv2viNXP9_khW8SjITtHUoaLHJo7Ch9Fg';

afterEach(() => history.replaceState(null, '', '/'));

describe('tokenIn', () => {
  it('reads a link, a fragment or the token itself', () => {
    for (const text of [`http://127.0.0.1:4747/#token=${token}`, `#token=${token}`, ` ${token}\n`])
      expect(tokenIn(text)).toBe(token);
  });
  it('takes nothing else', () => {
    for (const text of [
      '',
      'short',
      '#token=',
      '#other=1',
      `${token}<script>`,
      'a b c d e f g h i j k',
      'x'.repeat(300),
    ])
      expect(tokenIn(text)).toBeNull();
  });
});

describe('takeToken', () => {
  it('moves the token out of the address bar, and has it after a reload', () => {
    history.replaceState(null, '', `/jobs?filter=all#token=${token}`);
    expect(takeToken()).toBe(token);
    expect(location.hash).toBe('');
    expect(location.pathname + location.search).toBe('/jobs?filter=all');
    expect(takeToken()).toBe(token);
  });
  it('takes a damaged one out of the address bar, too, and keeps what it had', () => {
    history.replaceState(null, '', `/#token=${token}`);
    takeToken();
    history.replaceState(null, '', '/#token=%00bad');
    expect(takeToken()).toBe(token);
    expect(location.hash).toBe('');
  });
  it('has none when it was dropped, or when the storage holds something else', () => {
    history.replaceState(null, '', `/#token=${token}`);
    takeToken();
    dropToken();
    expect(takeToken()).toBeNull();
    sessionStorage.setItem('meshwork.token', 'not a token\r\n');
    expect(takeToken()).toBeNull();
  });
});
