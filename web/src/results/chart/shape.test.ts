import { describe, expect, it } from 'vitest';

import { parseCsv } from '../csv';
import { parseJson } from '../json';
import { csvTable } from '../table';
import { random } from '../testing';
import { finish } from '../work';
import { csvDataset, type Dataset, findDataset } from './dataset';
import { CHART_KINDS, chooseChart, type ColumnType, MAX_SERIES, type Shape, unitOf } from './shape';

const encode = (text: string) => new TextEncoder().encode(text);

function datasetOf(value: unknown): Dataset | null {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const parsed = finish(parseJson(encode(text)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return finish(findDataset(parsed.document));
}

function choiceOf(value: unknown) {
  const dataset = datasetOf(value);
  return dataset && chooseChart(dataset.shape);
}

const numbers = (length: number) => Array.from({ length }, (_, i) => (i * 7919) % 101);

describe('what is drawn', () => {
  it.each([
    ['a few numbers', [3, 1, 2], 'bar'],
    ['many numbers', numbers(100), 'line'],
    ['numbers by name', { a: 1, b: 2, c: 3 }, 'bar'],
    [
      'records with a name',
      [
        { name: 'a', n: 1 },
        { name: 'b', n: 2 },
      ],
      'bar',
    ],
    ['records with a rising first number', numbers(50).map((v, t) => ({ t, v })), 'line'],
    ['records with a time', numbers(9).map((v, i) => ({ at: `2026-01-0${i + 1}T00:00:00Z`, v })), 'line'],
    ['pairs in no order', numbers(60).map((x, i) => [x, (i * 31) % 17]), 'scatter'],
    ['pairs in the order of x', numbers(60).map((y, x) => [x, y]), 'line'],
    ['a matrix', [numbers(4), numbers(4), numbers(4)], 'heatmap'],
    ['columns', { x: [1, 2, 3], y: [4, 5, 4] }, 'line'],
    ['nodes and links', { nodes: [{ id: 'a' }, { id: 'b' }], links: [{ source: 'a', target: 'b' }] }, 'network'],
    ['nodes and edges', { nodes: ['a', 'b'], edges: [{ from: 'a', to: 'b' }] }, 'network'],
    ['a list of links', [{ source: 'a', target: 'b', weight: 2 }], 'network'],
    ['something wrapped', { ok: true, result: { points: numbers(50) } }, 'line'],
    ['a summary with a part', { n: 50, points: numbers(50) }, 'line'],
    ['numbers that are not finite', '[1e400, NaN, 1, 2]', 'bar'],
  ])('%s', (_, value, kind) => {
    expect(choiceOf(value)?.kind).toBe(kind);
  });

  it.each([
    ['a text', 'hello'],
    ['texts', ['a', 'b']],
    ['one number', 7],
    ['nothing', null],
    ['an empty list', []],
    ['empty objects', [{}, {}]],
    ['nodes without links', { nodes: ['a', 'b'], links: [] }],
  ])('is nothing for %s', (_, value) => {
    expect(choiceOf(JSON.stringify(value))).toBeNull();
  });

  it('says where in the result it was found', () => {
    expect(datasetOf({ meta: {}, result: { unit: 's', points: numbers(5) } })?.path).toBe('.result.points');
  });

  it('takes the first rising number for x and the others for y', () => {
    expect(choiceOf(numbers(50).map((v, t) => ({ t, v, w: -v })))).toMatchObject({ x: 0, series: [1, 2] });
  });

  it('reads times and numbers of CSV', () => {
    const csv = finish(parseCsv(encode('when,v\n2026-01-01,1\n2026-01-02,x\n2026-01-03,3\n'), 0x2c));
    const { shape, numbers: read } = finish(csvDataset(finish(csvTable(csv))));
    expect(shape.columns.map((column) => column.type)).toEqual(['time', 'number']);
    expect([...read[1]!]).toEqual([1, Number.NaN, 3]);
    expect(read[0]![0]).toBe(Date.UTC(2026, 0, 1));
  });
});

describe('chooseChart', () => {
  it('offers the kind that it chooses, and only axes that there are, for any shape', () => {
    const next = random(17);
    const types: ColumnType[] = ['number', 'time', 'category', 'other'];
    for (let i = 0; i < 5000; i += 1) {
      const columns = Array.from({ length: Math.floor(next() * 14) }, (_, c) => {
        const type = types[Math.floor(next() * 4)]!;
        return { name: `c${c}`, type, rises: type !== 'category' && type !== 'other' && next() < 0.4 };
      });
      const shape: Shape = { rows: Math.floor(next() * 40), columns, isMatrix: next() < 0.2, isNetwork: next() < 0.2 };
      const choice = chooseChart(shape);
      if (!choice) {
        expect(shape.isNetwork).toBe(false);
        expect(shape.rows === 0 || !columns.some((column) => column.type === 'number')).toBe(true);
        continue;
      }
      expect(choice.kinds).toContain(choice.kind);
      expect(choice.kinds.every((kind) => CHART_KINDS.includes(kind))).toBe(true);
      expect(choice.x).toBeLessThan(columns.length);
      expect(choice.series.length).toBeLessThanOrEqual(MAX_SERIES);
      expect(choice.series.every((series) => columns[series]?.type === 'number' && series !== choice.x)).toBe(true);
      if (choice.kind !== 'network') expect(choice.series.length).toBeGreaterThan(0);
    }
  });
});

describe('unitOf', () => {
  it.each([
    ['rtt_us', 'rtt', 'µs'],
    ['size (MB)', 'size', 'MB'],
    ['rate [1/s]', 'rate', '1/s'],
    ['total_time_ms', 'total time', 'ms'],
    ['plain', 'plain', ''],
    ['x_constructor', 'x_constructor', ''],
    ['', '', ''],
  ])('reads %j', (name, label, unit) => {
    expect(unitOf(name)).toEqual({ label, unit });
  });
});
