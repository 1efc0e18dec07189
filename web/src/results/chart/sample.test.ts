import { describe, expect, it } from 'vitest';

import { random } from '../testing';
import { isDrawable, sampleCloud, sampleLine } from './sample';

describe('sampleLine', () => {
  it('keeps the extremes of every bucket, in order, with at most four rows each', () => {
    const next = random(23);
    for (let round = 0; round < 200; round += 1) {
      const length = 1 + Math.floor(next() * 3000);
      let at = 0;
      const x = Float64Array.from({ length }, () => (at += Math.floor(next() * 3)));
      const y = Float64Array.from({ length }, () =>
        next() < 0.05 ? Number.NaN : (next() - 0.5) * 10 ** Math.floor(next() * 8),
      );
      const buckets = 1 + Math.floor(next() * 50);
      const low = x[0]! + next() * 10;
      const high = low + 1 + next() * x[length - 1]!;
      const rows = sampleLine(x, y, { low, high, buckets });
      expect(rows).toEqual([...new Set(rows)].sort((a, b) => a - b));
      expect(rows.length).toBeLessThanOrEqual(4 * (buckets + 1) + 2);
      const inside = Array.from(y.keys()).filter((row) => x[row]! >= low && x[row]! <= high && isDrawable(y[row]!));
      for (const pick of [Math.min, Math.max]) {
        const extreme = inside.reduce((best, row) => pick(best, y[row]!), y[inside[0] ?? 0]!);
        if (inside.length > 0) expect(rows.some((row) => y[row] === extreme)).toBe(true);
      }
    }
  });

  it('keeps every row where there are few', () => {
    const x = [0, 1, 2, 3];
    expect(sampleLine(x, [5, 1, 9, 2], { low: 0, high: 3, buckets: 100 })).toEqual([0, 1, 2, 3]);
  });

  it('runs on past both ends of what is seen', () => {
    const x = [0, 1, 2, 3, 4, 5];
    expect(sampleLine(x, [0, 0, 0, 0, 0, 0], { low: 1.5, high: 3.5, buckets: 10 })).toEqual([1, 2, 3, 4]);
    expect(sampleLine(x, [0, Number.NaN, 0, 0, Number.NaN, 0], { low: 1.5, high: 3.5, buckets: 10 })).toEqual([
      0, 2, 3, 5,
    ]);
  });

  it('draws nothing of what is not finite', () => {
    expect(sampleLine([0, 1], [Number.NaN, Number.POSITIVE_INFINITY], { low: 0, high: 1, buckets: 5 })).toEqual([]);
    expect(sampleLine([], [], { low: 0, high: 1, buckets: 5 })).toEqual([]);
  });
});

describe('sampleCloud', () => {
  it('keeps one row per cell and the four that lie farthest out', () => {
    const next = random(29);
    const length = 20_000;
    const x = Float64Array.from({ length }, () => next());
    const y = Float64Array.from({ length }, () => next() * next());
    const rows = sampleCloud(x, y, 100, (a, b) => Math.floor(a * 10) * 10 + Math.floor(b * 10));
    expect(rows.length).toBeLessThanOrEqual(104);
    const cells = new Set(Array.from(x.keys(), (row) => Math.floor(x[row]! * 10) * 10 + Math.floor(y[row]! * 10)));
    expect(new Set(rows.map((row) => Math.floor(x[row]! * 10) * 10 + Math.floor(y[row]! * 10)))).toEqual(cells);
    for (const values of [x, y]) {
      expect(rows.some((row) => values[row] === Math.min(...values))).toBe(true);
      expect(rows.some((row) => values[row] === Math.max(...values))).toBe(true);
    }
  });
});

describe('isDrawable', () => {
  it.each([
    [0, true],
    [-1e307, true],
    [1e308, false],
    [Number.NaN, false],
    [Number.NEGATIVE_INFINITY, false],
  ])('says of %d %s', (value, answer) => expect(isDrawable(value)).toBe(answer));
});
