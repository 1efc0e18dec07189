// Chooses how data is drawn from its shape alone: a pure function, so that it can be tested, and a start that the user can
// change.

export type ChartKind = 'line' | 'bar' | 'scatter' | 'histogram' | 'heatmap' | 'network';

export const CHART_KINDS: readonly ChartKind[] = ['line', 'bar', 'scatter', 'histogram', 'heatmap', 'network'];

export const CHART_NAMES: Record<ChartKind, string> = {
  line: 'Line',
  bar: 'Bar',
  scatter: 'Scatter',
  histogram: 'Histogram',
  heatmap: 'Heat map',
  network: 'Network',
};

export type ColumnType = 'number' | 'time' | 'category' | 'other';

export interface ColumnShape {
  name: string;
  type: ColumnType;
  /** Never falls, and rises somewhere: fit to be an x axis. */
  rises: boolean;
}

export interface Shape {
  rows: number;
  columns: readonly ColumnShape[];
  /** All rows are lists of numbers of one length, with no names. */
  isMatrix: boolean;
  isNetwork: boolean;
}

export interface Choice {
  kind: ChartKind;
  /** What can be drawn at all, the chosen kind among it. */
  kinds: readonly ChartKind[];
  /** The column of the x axis, or -1 for the number of the row. */
  x: number;
  series: readonly number[];
}

export const MAX_SERIES = 8;
const FEW_BARS = 24;

function indices(shape: Shape, keep: (column: ColumnShape) => boolean): number[] {
  return shape.columns.flatMap((column, i) => (keep(column) ? [i] : []));
}

function axisOf(shape: Shape): number {
  const time = shape.columns.findIndex((column) => column.type === 'time');
  if (time >= 0) return time;
  const category = shape.columns.findIndex((column) => column.type === 'category');
  const numbers = indices(shape, (column) => column.type === 'number');
  const first = numbers[0];
  if (numbers.length >= 2 && first !== undefined && shape.columns[first]!.rises) return first;
  return category;
}

function isScatter(shape: Shape, numbers: readonly number[]): boolean {
  return numbers.length === 2 && numbers.every((i) => !shape.columns[i]!.rises) && shape.rows >= 3;
}

function kindOf(shape: Shape, x: number, series: readonly number[]): ChartKind {
  if (shape.isMatrix && shape.rows >= 3 && series.length >= 3) return 'heatmap';
  const type = shape.columns[x]?.type;
  if (type === 'category') return 'bar';
  if (type === 'time' || type === 'number') return 'line';
  if (series.length === 1 && shape.rows <= FEW_BARS) return 'bar';
  return 'line';
}

/** How to draw data of this shape, or null if there is nothing in it to draw. */
export function chooseChart(shape: Shape): Choice | null {
  const numbers = indices(shape, (column) => column.type === 'number');
  const kinds: ChartKind[] = [];
  if (numbers.length > 0 && shape.rows > 0) {
    kinds.push('line', 'bar');
    if (numbers.length >= 2 || axisOf(shape) >= 0) kinds.push('scatter');
    kinds.push('histogram');
    if (numbers.length >= 2 && shape.rows >= 2) kinds.push('heatmap');
  }
  if (shape.isNetwork) return { kind: 'network', kinds: [...kinds, 'network'], ...axes(shape, numbers) };
  if (kinds.length === 0) return null;
  const { x, series } = axes(shape, numbers);
  if (
    !shape.isMatrix &&
    x !== -1 &&
    shape.columns[x]!.type === 'category' &&
    isScatter(shape, numbers) &&
    shape.rows > FEW_BARS
  )
    return { kind: 'scatter', kinds, x: numbers[0]!, series: [numbers[1]!] };
  if (x === -1 && isScatter(shape, numbers)) return { kind: 'scatter', kinds, x: numbers[0]!, series: [numbers[1]!] };
  return { kind: kindOf(shape, x, series), kinds, x, series };
}

function axes(shape: Shape, numbers: readonly number[]): { x: number; series: number[] } {
  const x = axisOf(shape);
  return { x, series: numbers.filter((i) => i !== x).slice(0, MAX_SERIES) };
}

const UNITS: Record<string, string> = {
  ns: 'ns',
  us: 'µs',
  ms: 'ms',
  s: 's',
  sec: 's',
  seconds: 's',
  minutes: 'min',
  hours: 'h',
  bytes: 'bytes',
  kb: 'kB',
  mb: 'MB',
  gb: 'GB',
  kib: 'KiB',
  mib: 'MiB',
  gib: 'GiB',
  mbit: 'Mbit',
  percent: '%',
  pct: '%',
  hz: 'Hz',
  mhz: 'MHz',
  ghz: 'GHz',
  m: 'm',
  km: 'km',
  kg: 'kg',
  w: 'W',
  kwh: 'kWh',
  c: '°C',
};

/** The unit that a column's name states: `size (MB)`, `rate [1/s]` or `rtt_us`. */
export function unitOf(name: string): { label: string; unit: string } {
  const bracket = /^(.{1,200}?)\s*[([]([^()[\]]{1,20})[)\]]$/.exec(name);
  if (bracket) return { label: bracket[1]!, unit: bracket[2]! };
  const suffix = /^(.{1,200})_([a-z]{1,7})$/i.exec(name);
  const unit = suffix && Object.hasOwn(UNITS, suffix[2]!.toLowerCase()) ? UNITS[suffix[2]!.toLowerCase()] : undefined;
  if (!suffix || unit === undefined) return { label: name, unit: '' };
  return { label: suffix[1]!.replaceAll('_', ' '), unit };
}
