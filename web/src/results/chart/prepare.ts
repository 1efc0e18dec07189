// What a kind of chart needs of a dataset, computed once per choice of kind and columns; drawing while one zooms stands on it.

import { ticks } from 'd3-array';

import { counted, sortedPlaces } from '../sort';
import type { Work } from '../work';
import { type Cloud, type Extent, cloudOf } from './cloud';
import type { Dataset } from './dataset';
import { isDrawable } from './sample';
import { type ChartKind, type ColumnType, unitOf } from './shape';

const BETWEEN_YIELDS = 65_536;
export const MAX_BARS = 200;
export const MAX_BINS = 100;
export const MAX_BLOCKS = 120;
/** More points than that are scattered by their cloud. */
export const MANY_POINTS = 20_000;
/** How much wider than high a chart is, about: cells of a cloud are to be squares on the screen. */
const WIDE = 2;

export interface Settings {
  kind: ChartKind;
  x: number;
  series: readonly number[];
}

export interface Series {
  name: string;
  unit: string;
  y: Float64Array;
  /** Values before each place that cannot be drawn; null if there are none. */
  gaps: Uint32Array | null;
  /** Of many points that are scattered. */
  cloud: Cloud | null;
}

export interface Axis {
  type: ColumnType;
  name: string;
  unit: string;
  /** Text of a category or row by its place on the axis. */
  label(place: number): string;
}

interface Common {
  axis: Axis;
  /** Numbers that are not finite, or too large to place. */
  left: number;
  /** Cells without a number. */
  missing: number;
  notes: string[];
}

export interface Points extends Common {
  form: 'points';
  /** The row of each place, where places are not rows. */
  rows: Uint32Array | null;
  x: Float64Array;
  isRising: boolean;
  series: Series[];
  xExtent: Extent;
  yExtent: Extent;
}

export interface Bins extends Common {
  form: 'bins';
  edges: number[];
  counts: number[];
}

export interface Blocks extends Common {
  form: 'blocks';
  across: number;
  down: number;
  means: Float64Array;
  lows: Float64Array;
  highs: Float64Array;
  counts: Uint32Array;
  extent: Extent;
  columns: string[];
  rows: number;
}

export type Prepared = Points | Bins | Blocks;

const EMPTY: Extent = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };

/** An extent that has a length: that of a single value is one around it. */
function widened({ low, high }: Extent): Extent {
  if (low > high) return { low: 0, high: 1 };
  if (low < high) return { low, high };
  const around = low === 0 ? 1 : Math.abs(low) * 0.1;
  return { low: low - around, high: high + around };
}

function axisOf(dataset: Dataset, x: number): Axis {
  const column = dataset.shape.columns[x];
  const { label, unit } = unitOf(column?.name ?? 'row');
  const table = dataset.table;
  return {
    type: column?.type ?? 'other',
    name: label,
    unit: column?.type === 'time' ? '' : unit,
    label: (row) => (column && table ? table.cell(row, x, 200).text : String(row)),
  };
}

/** The values of these rows. */
function* pick(values: Float64Array, rows: Uint32Array): Work<Float64Array> {
  const picked = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i += 1) {
    if (i % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    picked[i] = values[rows[i]!]!;
  }
  return picked;
}

class Reader {
  left = 0;
  missing = 0;

  constructor(private readonly dataset: Dataset) {}

  count(row: number, column: number): void {
    if (this.dataset.table?.cell(row, column, 8).kind === 'number') this.left += 1;
    else this.missing += 1;
  }

  *series(column: number, rows: Uint32Array | null, extent: Extent): Work<Series> {
    const source = this.dataset.numbers[column]!;
    const y = rows ? yield* pick(source, rows) : source;
    let gaps: Uint32Array | null = null;
    for (let i = 0; i < y.length; i += 1) {
      if (i % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
      const value = y[i]!;
      if (gaps) gaps[i] = gaps[i - 1] ?? 0;
      if (!isDrawable(value)) {
        gaps ??= new Uint32Array(y.length);
        gaps[i]! += 1;
        this.count(rows ? rows[i]! : i, column);
        continue;
      }
      if (value < extent.low) extent.low = value;
      if (value > extent.high) extent.high = value;
    }
    const { label, unit } = unitOf(this.dataset.shape.columns[column]!.name);
    return { name: label, unit, y, gaps, cloud: null };
  }
}

/** Rows in the order of their x, without those that have none. */
function* risingRows(x: Float64Array): Work<Uint32Array> {
  const rows = yield* sortedPlaces(x.length, (a, b) => {
    const order = Number(!isDrawable(x[a]!)) - Number(!isDrawable(x[b]!));
    return order !== 0 || !isDrawable(x[a]!) ? order : x[a]! - x[b]!;
  });
  let end = rows.length;
  while (end > 0 && !isDrawable(x[rows[end - 1]!]!)) end -= 1;
  return rows.subarray(0, end);
}

/** The rows of the largest values, in their own order. */
function* largestRows(y: Float64Array, most: number): Work<Uint32Array> {
  const size = (row: number) => (isDrawable(y[row]!) ? Math.abs(y[row]!) : -1);
  const rows = yield* sortedPlaces(y.length, (a, b) => size(b) - size(a));
  return rows.slice(0, most).sort();
}

function* preparePoints(dataset: Dataset, settings: Settings): Work<Points> {
  const column = dataset.shape.columns[settings.x];
  const isPlaced = settings.kind !== 'bar' && (column?.type === 'number' || column?.type === 'time');
  const notes: string[] = [];
  const reader = new Reader(dataset);
  let rows: Uint32Array | null = null;
  if (settings.kind === 'bar' && dataset.shape.rows > MAX_BARS) {
    rows = yield* largestRows(dataset.numbers[settings.series[0] ?? 0]!, MAX_BARS);
    notes.push(`The ${MAX_BARS} largest of ${dataset.shape.rows} rows are drawn.`);
  } else if (isPlaced && settings.kind === 'line' && !column.rises) {
    rows = yield* risingRows(dataset.numbers[settings.x]!);
    for (let row = 0; row < dataset.shape.rows; row += 1) {
      if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
      if (!isDrawable(dataset.numbers[settings.x]![row]!)) reader.count(row, settings.x);
    }
  }
  yield;
  const yExtent = { ...EMPTY };
  const series: Series[] = [];
  for (const one of settings.series) series.push(yield* reader.series(one, rows, yExtent));
  const length = rows ? rows.length : dataset.shape.rows;
  const source = isPlaced ? dataset.numbers[settings.x]! : null;
  const x = source ? (rows ? yield* pick(source, rows) : source) : Float64Array.from(counted(length));
  const xExtent = { ...EMPTY };
  for (let i = 0; i < x.length; i += 1) {
    if (i % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const value = x[i]!;
    if (!isDrawable(value)) {
      if (settings.kind === 'scatter') reader.count(i, settings.x);
      continue;
    }
    if (value < xExtent.low) xExtent.low = value;
    if (value > xExtent.high) xExtent.high = value;
  }
  if (settings.kind === 'scatter' && length > MANY_POINTS) {
    const { low, high } = widened(yExtent);
    const tall = { low, high: low + WIDE * (high - low) };
    for (const one of series) one.cloud = yield* cloudOf(x, one.y, widened(xExtent), tall);
  }
  const base = axisOf(dataset, settings.x);
  const axis = {
    ...base,
    type: isPlaced ? base.type : 'category',
    label: (i: number) => base.label(rows ? (rows[i] ?? i) : i),
  } as const;
  return {
    ...{ form: 'points', axis, left: reader.left, missing: reader.missing, notes, rows, x },
    ...{ isRising: !isPlaced || rows !== null || column.rises, series },
    ...{ xExtent: widened(xExtent), yExtent: widened(settings.kind === 'bar' ? withZero(yExtent) : yExtent) },
  };
}

function withZero({ low, high }: Extent): Extent {
  return { low: Math.min(0, low), high: Math.max(0, high) };
}

/** Edges at round numbers that cover the extent; at most some MAX_BINS bins. */
export function binEdges({ low, high }: Extent, values: number): number[] {
  const wanted = Math.min(MAX_BINS / 2, Math.max(5, Math.ceil(Math.sqrt(values))));
  const inner = ticks(low, high, wanted);
  const step = inner.length > 1 ? inner[1]! - inner[0]! : high - low;
  const edges = [...inner];
  if (edges.length === 0 || edges[0]! > low) edges.unshift((edges[0] ?? high) - step);
  if (edges.at(-1)! <= high) edges.push(edges.at(-1)! + step);
  return edges;
}

function* prepareBins(dataset: Dataset, settings: Settings): Work<Bins> {
  const column = settings.series[0]!;
  const reader = new Reader(dataset);
  const extent = { ...EMPTY };
  const { y, name, unit } = yield* reader.series(column, null, extent);
  const edges = binEdges(widened(extent), y.length - reader.left - reader.missing);
  const counts = new Array<number>(edges.length - 1).fill(0);
  const first = edges[0]!;
  const step = (edges.at(-1)! - first) / counts.length;
  for (let row = 0; row < y.length; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const value = y[row]!;
    if (!isDrawable(value)) continue;
    let bin = Math.min(counts.length - 1, Math.max(0, Math.floor((value - first) / step)));
    // The division may round across an edge.
    if (value < edges[bin]! && bin > 0) bin -= 1;
    else if (value >= edges[bin + 1]! && bin < counts.length - 1) bin += 1;
    counts[bin]! += 1;
  }
  const axis: Axis = { type: 'number', name, unit, label: String };
  return { form: 'bins', axis, left: reader.left, missing: reader.missing, notes: [], edges, counts };
}

function* prepareBlocks(dataset: Dataset, settings: Settings): Work<Blocks> {
  const columns = settings.series.length;
  const rows = dataset.shape.rows;
  const across = Math.min(columns, MAX_BLOCKS);
  const down = Math.min(rows, MAX_BLOCKS);
  const size = across * down;
  const means = new Float64Array(size);
  const lows = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
  const highs = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  const counts = new Uint32Array(size);
  const reader = new Reader(dataset);
  for (let i = 0; i < columns; i += 1) {
    const source = dataset.numbers[settings.series[i]!]!;
    const left = Math.floor((i * across) / columns);
    for (let row = 0; row < rows; row += 1) {
      if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
      const value = source[row]!;
      if (!isDrawable(value)) {
        reader.count(row, settings.series[i]!);
        continue;
      }
      const block = Math.floor((row * down) / rows) * across + left;
      counts[block]! += 1;
      means[block]! += (value - means[block]!) / counts[block]!;
      lows[block] = Math.min(lows[block]!, value);
      highs[block] = Math.max(highs[block]!, value);
    }
    yield;
  }
  const extent = { ...EMPTY };
  means.forEach((mean, i) => {
    if (counts[i] === 0) return;
    extent.low = Math.min(extent.low, mean);
    extent.high = Math.max(extent.high, mean);
  });
  const notes = across < columns || down < rows ? ['Each block is the mean of several values.'] : [];
  const names = settings.series.map((i) => dataset.shape.columns[i]!.name);
  return {
    ...{
      form: 'blocks',
      axis: { ...axisOf(dataset, -1), name: 'column' },
      left: reader.left,
      missing: reader.missing,
      notes,
    },
    ...{ across, down, means, lows, highs, counts, extent: widened(extent), columns: names, rows },
  };
}

export function prepare(dataset: Dataset, settings: Settings): Work<Prepared> {
  if (settings.kind === 'histogram') return prepareBins(dataset, settings);
  if (settings.kind === 'heatmap') return prepareBlocks(dataset, settings);
  return preparePoints(dataset, settings);
}
