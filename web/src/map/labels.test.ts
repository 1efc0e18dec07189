import { describe, expect, it } from 'vitest';

import { random } from '../results/testing';
import { boxOf, type Labelled, placeLabels } from './labels';

function scattered(count: number, seed: number): Labelled[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, i) => ({
    id: `n${i}`,
    x: next() * 900,
    y: next() * 560,
    radius: 8,
    text: `peer${String(i).padStart(4, '0')}`,
    priority: i === 7 ? 9 : 0,
  }));
}

function overlaps(a: ReturnType<typeof boxOf>, b: ReturnType<typeof boxOf>): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

describe('placeLabels', () => {
  it.each([1, 50, 1000])('lays no name over another among %i nodes', (count) => {
    const { labels, groups } = placeLabels(scattered(count, count), 900, 560);
    const marks = groups.map(({ x, y, count: all }) => boxOf({ x, y, anchor: 'middle', text: `+${all}` }));
    const boxes = [...labels.map(boxOf), ...marks];
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => expect(overlaps(a, b)).toBe(false)));
  });

  it('names almost all of 50 nodes, and the most important first', () => {
    const { labels } = placeLabels(scattered(50, 2), 900, 560);
    expect(labels.length).toBeGreaterThan(42);
    expect(labels[0]?.id).toBe('n7');
  });

  it('counts the most of 1,000 nodes instead of naming them', () => {
    const { labels, groups } = placeLabels(scattered(1000, 3), 900, 560);
    expect(labels.length).toBeLessThanOrEqual(40);
    expect(labels[0]?.id).toBe('n7');
    expect(groups.reduce((sum, group) => sum + group.count, 0)).toBeGreaterThan(700);
  });

  it('is the same for the same nodes, in whatever order', () => {
    const nodes = scattered(80, 4);
    expect(placeLabels([...nodes].reverse(), 900, 560)).toEqual(placeLabels(nodes, 900, 560));
  });

  it('leaves out what is not in sight', () => {
    const outside = scattered(3, 5).map((node) => ({ ...node, x: -10 }));
    expect(placeLabels(outside, 900, 560)).toEqual({ labels: [], groups: [] });
  });
});
