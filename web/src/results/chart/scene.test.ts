import { describe, expect, it } from 'vitest';

import { parseJson } from '../json';
import { random } from '../testing';
import { finish } from '../work';
import { type Dataset, findDataset } from './dataset';
import { networkScene, placeNetwork } from './networkLayout';
import {
  type Bins,
  binEdges,
  type Blocks,
  MAX_BARS,
  MAX_BINS,
  MANY_POINTS,
  MAX_BLOCKS,
  type Points,
  prepare,
  type Settings,
} from './prepare';
import { buildScene, type Frame, MARGIN, type Scene } from './scene';

const FRAME: Frame = { width: 600, height: 380, transform: { k: 1, x: 0, y: 0 } };

function datasetOf(value: unknown): Dataset {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const parsed = finish(parseJson(new TextEncoder().encode(text)));
  const found = parsed.ok ? finish(findDataset(parsed.document)) : null;
  if (!found) throw new Error('there is nothing to draw');
  return found;
}

function sceneOf(value: unknown, settings: Settings, frame = FRAME): Scene {
  return buildScene(settings.kind, finish(prepare(datasetOf(value), settings)), frame);
}

const allFinite = (scene: Scene) =>
  scene.points.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)) &&
  !scene.paths.some(({ d }) => /NaN|Infinity/.test(d));

const line = (series = [1]): Settings => ({ kind: 'line', x: 0, series });

describe('line', () => {
  it('goes through its points, from the left to the right', () => {
    const scene = sceneOf(
      [
        [0, 0],
        [1, 10],
        [2, 5],
      ],
      line(),
    );
    expect(scene.points.map(({ x }) => x)).toEqual([
      MARGIN.left,
      (MARGIN.left + 600 - MARGIN.right) / 2,
      600 - MARGIN.right,
    ]);
    expect(scene.points.map(({ y }) => y)).toEqual([
      380 - MARGIN.bottom,
      MARGIN.top,
      (380 - MARGIN.bottom + MARGIN.top) / 2,
    ]);
    expect(scene.describe(scene.points[1]!)).toEqual(['0: 1', '1: 10']);
  });

  it('breaks where a value is missing, and counts what it leaves out', () => {
    const rows = '[[0,1],[1,NaN],[2,1e400],[3,2],[4,"x"],[5,3]]';
    const prepared = finish(prepare(datasetOf(rows), line()));
    expect(prepared).toMatchObject({ left: 2, missing: 1 });
    const scene = buildScene('line', prepared, FRAME);
    expect(scene.paths[0]!.d.match(/M/g)).toHaveLength(3);
    expect(allFinite(scene)).toBe(true);
  });

  it('puts rows in the order of an x that does not rise', () => {
    const prepared = finish(
      prepare(
        datasetOf([
          [3, 30],
          [1, 10],
          [2, 20],
        ]),
        line(),
      ),
    ) as Points;
    expect([...prepared.x]).toEqual([1, 2, 3]);
    expect([...prepared.series[0]!.y]).toEqual([10, 20, 30]);
  });

  it('names units on its axes and in its tooltips', () => {
    const scene = sceneOf(
      [
        { t_ms: 1, 'size (MB)': 2 },
        { t_ms: 2, 'size (MB)': 3 },
      ],
      line(),
    );
    expect(scene.xTitle).toBe('t (ms)');
    expect(scene.yTitle).toBe('size (MB)');
    expect(scene.describe(scene.points[0]!)).toEqual(['t: 1 ms', 'size: 2 MB']);
  });

  it('has a few points per pixel at most, and shows more when zoomed', () => {
    const values = Array.from({ length: 200_000 }, (_, i) => Math.sin(i) + (i === 123_456 ? 50 : 0));
    const prepared = finish(prepare(datasetOf(values), { kind: 'line', x: -1, series: [0] }));
    const whole = buildScene('line', prepared, FRAME);
    expect(whole.points.length).toBeLessThan(4 * 600);
    expect(whole.points.some(({ place }) => place === 123_456)).toBe(true);
    const k = 10_000;
    const part = buildScene('line', prepared, { ...FRAME, transform: { k, x: MARGIN.left * (1 - k), y: 0 } });
    expect(part.points.map(({ place }) => place).slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
    expect(part.points.length).toBeLessThan(50);
  });

  it('survives numbers as large as there are, and a single point', () => {
    expect(allFinite(sceneOf('[[0,4e307],[1,-4e307],[2,1.7e308]]', line()))).toBe(true);
    const one = sceneOf([[5, 5]], { kind: 'line', x: -1, series: [0] });
    expect(allFinite(one)).toBe(true);
    expect(one.points).toHaveLength(1);
  });
});

describe('bars', () => {
  it('stand on zero, one beside the other', () => {
    const scene = sceneOf({ a: 4, b: -2 }, { kind: 'bar', x: 0, series: [1] });
    expect(scene.xTicks.map(({ label }) => label)).toEqual(['a', 'b']);
    expect(scene.points.map((point) => scene.describe(point))).toEqual([
      ['a', 'value: 4'],
      ['b', 'value: -2'],
    ]);
    const zero = scene.yTicks.find(({ label }) => label === '0')!.at;
    expect(scene.points[0]!.y).toBeLessThan(zero);
    expect(scene.points[1]!.y).toBeGreaterThan(zero);
  });

  it('are the largest of many, in their own order', () => {
    const prepared = finish(
      prepare(datasetOf(Array.from({ length: 1000 }, (_, i) => i)), { kind: 'bar', x: -1, series: [0] }),
    ) as Points;
    expect(prepared.series[0]!.y).toHaveLength(MAX_BARS);
    expect(prepared.series[0]!.y[0]).toBe(1000 - MAX_BARS);
    expect(prepared.axis.label(0)).toBe(String(1000 - MAX_BARS));
    expect(prepared.notes[0]).toContain('largest of 1000');
  });
});

describe('scatter', () => {
  it('draws a point per row', () => {
    const scene = sceneOf(
      [
        [3, 1],
        [1, 2],
        [2, 3],
      ],
      { kind: 'scatter', x: 0, series: [1] },
    );
    expect(scene.points.map(({ place }) => place)).toEqual([1, 2, 0]);
  });

  it('draws many by what can be seen of them, from the left to the right, and never loses the farthest', () => {
    const next = random(3);
    const rows = Array.from({ length: MANY_POINTS + 1 }, () => [next(), next()]);
    rows[777] = [0.5, 9];
    const settings: Settings = { kind: 'scatter', x: 0, series: [1] };
    const whole = sceneOf(rows, settings);
    expect(allFinite(whole)).toBe(true);
    expect(whole.points.some(({ place }) => place === 777)).toBe(true);
    expect(whole.points.length).toBeLessThan(rows.length / 2);
    const steps = whole.points.slice(1, -4).map(({ x }, i) => x - whole.points[i]!.x);
    expect(Math.min(...steps)).toBeGreaterThan(-4);
    const near = sceneOf(rows, settings, { ...FRAME, transform: { k: 20, x: -6000, y: -6500 } });
    expect(near.points.length).toBeGreaterThan(0);
    for (const { x, y } of near.points) {
      expect(x).toBeGreaterThan(MARGIN.left - 2);
      expect(x).toBeLessThan(FRAME.width - MARGIN.right + 2);
      expect(y).toBeGreaterThan(MARGIN.top - 2);
      expect(y).toBeLessThan(FRAME.height - MARGIN.bottom + 2);
    }
  });
});

describe('histogram', () => {
  it('counts every finite value once, those on edges too', () => {
    const values = [0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1, 1, Infinity];
    const bins = finish(
      prepare(datasetOf(JSON.stringify(values).replace('null', '1e400')), { kind: 'histogram', x: -1, series: [0] }),
    ) as Bins;
    expect(bins.counts.reduce((sum, count) => sum + count, 0)).toBe(9);
    expect(bins.left).toBe(1);
    bins.counts.forEach((count, i) =>
      expect(values.filter((value) => value >= bins.edges[i]! && value < bins.edges[i + 1]!)).toHaveLength(count),
    );
  });

  it.each([
    [{ low: 0, high: 1 }, 1000],
    [{ low: -1e300, high: 1e300 }, 5],
    [{ low: 0, high: 1e-300 }, 1e6],
    [{ low: 999_999, high: 1_000_001 }, 1e6],
  ])('has edges around %j', (extent, values) => {
    const edges = binEdges(extent, values);
    expect(edges.length - 1).toBeLessThanOrEqual(MAX_BINS);
    expect(edges[0]).toBeLessThanOrEqual(extent.low);
    expect(edges.at(-1)).toBeGreaterThan(extent.high);
    expect(edges).toEqual([...edges].sort((a, b) => a - b));
  });
});

describe('heat map', () => {
  it('has a block per value, and blocks of many where they are too many', () => {
    const small = finish(
      prepare(
        datasetOf([
          [1, 2, 3],
          [4, 5, 6],
          [7, 8, 9],
        ]),
        { kind: 'heatmap', x: -1, series: [0, 1, 2] },
      ),
    ) as Blocks;
    expect([...small.means]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const rows = Array.from({ length: 5 * MAX_BLOCKS }, (_, i) => [i, i, i]);
    const large = finish(prepare(datasetOf(rows), { kind: 'heatmap', x: -1, series: [0, 1, 2] })) as Blocks;
    expect([large.across, large.down]).toEqual([3, MAX_BLOCKS]);
    expect(large.means[0]).toBe(2);
    const scene = buildScene('heatmap', large, FRAME);
    expect(scene.describe(scene.points[0]!)).toEqual(['row 0 to 4, column 0', 'mean 2 of 5, 0 to 4']);
    expect(allFinite(scene)).toBe(true);
  });
});

describe('network', () => {
  const value = {
    nodes: [{ id: 'a', label: '<b>\u202e' }, { id: 'b' }, { id: 'c' }],
    links: [
      { source: 'a', target: 'b' },
      { source: 1, target: 2 },
      { source: 'a', target: 'nobody' },
    ],
  };

  it('is the same each time, says who is linked and counts what is left out', () => {
    const { network } = datasetOf(value);
    expect(network?.left).toBe(1);
    const places = finish(placeNetwork(network!));
    expect(finish(placeNetwork(network!))).toEqual(places);
    const scene = networkScene(network!, places, FRAME);
    expect(scene.describe(scene.points[0]!)).toEqual(['<b>⟨U+202E⟩', '1 linked: b']);
    expect(scene.describe(scene.points[1]!)[1]).toBe('2 linked: <b>⟨U+202E⟩, c');
    expect(allFinite(scene)).toBe(true);
  });
});
