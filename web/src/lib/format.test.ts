import { describe, expect, it } from 'vitest';
import { ago, bytes, clock, credits, duration, parseCredits, roundTrip } from './format';

describe('sizes and times', () => {
  it('has a unit that fits', () => {
    expect([0, 1023, 1024, 1536, 100 << 20, 1 << 30].map(bytes)).toEqual([
      ...['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '100 MiB', '1.0 GiB'],
    ]);
    expect([12, 1500, 61_000, 3_720_000].map(duration)).toEqual(['12 ms', '1.50 s', '1:01 min', '1:02 h']);
    expect([0, 480, 15_000, 999_499, 999_500].map(roundTrip)).toEqual(['–', '480 µs', '15.0 ms', '999 ms', '1.0 s']);
  });
  it('says nothing of a number that is none', () => {
    expect([NaN, -1, Infinity].map(bytes)).toEqual(['–', '–', '–']);
    expect(duration(NaN)).toBe('–');
    expect(clock('not a time')).toBe('–');
    expect(ago('not a time')).toBe('–');
  });
});

describe('credits', () => {
  it('loses nothing of what is more than a JSON number holds', () => {
    expect(credits('18446744073709551615')).toBe('18,446,744,073,709.551615');
    expect(['0', '1', '1500000', '1000000000'].map(credits)).toEqual(['0', '0.000001', '1.5', '1,000']);
    expect(credits('1e9')).toBe('–');
  });
  it('reads what a person types', () => {
    expect(parseCredits(' 1.5 ')).toEqual({ micros: '1500000' });
    expect(parseCredits('0.000001')).toEqual({ micros: '1' });
    for (const bad of ['', '-1', '1,5', '1e3', '0.0000001', '0', 'NaN', '99999999999999'])
      expect(parseCredits(bad)).toHaveProperty('error');
  });
});
