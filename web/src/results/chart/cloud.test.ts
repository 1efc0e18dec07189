import { describe, expect, it } from 'vitest';

import { random } from '../testing';
import { finish } from '../work';
import { cloudOf, rowsInView } from './cloud';

const whole = { low: 0, high: 1 };

function pointsOf(count: number, seed: number) {
  const next = random(seed);
  const x = Float64Array.from({ length: count }, next);
  const y = Float64Array.from({ length: count }, next);
  return { x, y, cloud: finish(cloudOf(x, y, whole, whole)) };
}

describe('a cloud', () => {
  it('has each point that can be drawn once, in the order of its code', () => {
    const x = Float64Array.from([0.9, Number.NaN, 0.1, 0.5, 1, 0, 0.1]);
    const y = Float64Array.from([0.9, 0, 0.1, Number.POSITIVE_INFINITY, 1, 0, 0.1]);
    const { rows, codes } = finish(cloudOf(x, y, whole, whole));
    expect([...rows]).toEqual([5, 2, 6, 0, 4]);
    expect([...codes]).toEqual([...codes].sort((a, b) => a - b));
    expect(codes.at(-1)).toBe(2 ** 32 - 1);
  });

  it('gives what lies in the view, and nothing that is more than a dot outside of it', () => {
    const { x, y, cloud } = pointsOf(20_000, 5);
    const view = { x: { low: 0.3, high: 0.42 }, y: { low: 0.7, high: 0.71 }, dot: 2 ** -17 };
    const found = new Set(rowsInView(cloud, view));
    const edge = 2 ** -15;
    for (let row = 0; row < x.length; row += 1) {
      const isIn = x[row]! >= 0.3 && x[row]! <= 0.42 && y[row]! >= 0.7 && y[row]! <= 0.71;
      if (isIn) expect(found.has(row)).toBe(true);
      else if (found.has(row)) {
        expect(x[row]!).toBeGreaterThan(0.3 - edge);
        expect(x[row]!).toBeLessThan(0.42 + edge);
        expect(y[row]!).toBeGreaterThan(0.7 - edge);
        expect(y[row]!).toBeLessThan(0.71 + edge);
      }
    }
    expect(found.size).toBeGreaterThan(10);
  });

  it('leaves out only what another point covers', () => {
    const { x, y, cloud } = pointsOf(50_000, 9);
    const dot = 1 / 100;
    const found = rowsInView(cloud, { x: whole, y: whole, dot });
    expect(found.length).toBeLessThanOrEqual(128 ** 2);
    const taken = new Set(found.map((row) => `${Math.floor(x[row]! * 128)},${Math.floor(y[row]! * 128)}`));
    expect(taken.size).toBe(found.length);
    for (let row = 0; row < x.length; row += 1)
      expect(taken.has(`${Math.floor(x[row]! * 128)},${Math.floor(y[row]! * 128)}`)).toBe(true);
  });

  it('keeps one of many that are in one place, and all of them from near', () => {
    const x = new Float64Array(1000).fill(0.25);
    const y = Float64Array.from({ length: 1000 }, (_, i) => 0.5 + i * 1e-9);
    const cloud = finish(cloudOf(x, y, whole, whole));
    expect(rowsInView(cloud, { x: whole, y: whole, dot: 0.01 })).toEqual([0]);
    const near = { x: { low: 0.2499999, high: 0.2500001 }, y: { low: 0.5, high: 0.5000001 }, dot: 1e-9 };
    expect(rowsInView(cloud, near)).toHaveLength(1000);
  });

  it('is empty where nothing is', () => {
    const cloud = finish(cloudOf(new Float64Array(), new Float64Array(), whole, whole));
    expect(rowsInView(cloud, { x: whole, y: whole, dot: 0.01 })).toEqual([]);
  });
});
