// A chart as paths and points: a pure function from data and view, which the component draws and tests read. However large
// the data, a scene has a few thousand points at most.

import { interpolateViridis } from 'd3-scale-chromatic';
import { scaleLinear, scaleUtc } from 'd3-scale';

import { printableLine } from '../printable';
import type { Bins, Blocks, Points, Prepared } from './prepare';
import { rowsInView } from './cloud';
import { isDrawable, sampleCloud, sampleLine } from './sample';
import type { ChartKind } from './shape';

export interface Transform {
  k: number;
  x: number;
  y: number;
}

export interface Frame {
  width: number;
  height: number;
  transform: Transform;
}

export interface ScenePath {
  d: string;
  color: string;
  role: 'line' | 'area' | 'dots' | 'cells' | 'nodes';
  dash?: string;
}

export interface ScenePoint {
  x: number;
  y: number;
  series: number;
  place: number;
}

export interface Tick {
  at: number;
  label: string;
}

export interface Scene {
  paths: ScenePath[];
  points: ScenePoint[];
  xTicks: Tick[];
  yTicks: Tick[];
  xTitle: string;
  yTitle: string;
  legend: { label: string; color: string }[];
  /** What a point says of itself: a title, and lines below it. */
  describe(point: ScenePoint): string[];
}

export const MARGIN = { left: 64, right: 16, top: 12, bottom: 44 };
const CLOUD_CELL = 3;
/** More dots than that are drawn as squares, which is many times faster. */
const MAX_ROUND = 4000;
const MAX_X_LABEL = 14;

// Okabe and Ito's colours that can be told apart with any colour vision, on light and on dark.
const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b07d00', '#56b4e9', '#7e57c2', '#8d6e63'];
const DASHES = ['', '6 3', '2 3', '8 3 2 3', '12 4', '4 4', '1 4', '10 2 2 2'];
export const HEAT_STEPS = 48;

export function seriesColor(index: number): string {
  const place = index % PALETTE.length;
  return `var(--series-${place + 1}, ${PALETTE[place]})`;
}

export function heatColor(step: number): string {
  return interpolateViridis(step / (HEAT_STEPS - 1));
}

export function isZoomedBothWays(kind: ChartKind): boolean {
  return kind === 'scatter' || kind === 'heatmap' || kind === 'network';
}

const round = (value: number) => Math.round(value * 10) / 10;

export function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString('en');
  return Number(value.toPrecision(6)).toString();
}

function formatTime(ms: number): string {
  return isDrawable(ms) && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString().replace('.000Z', 'Z') : 'no time';
}

function titled(name: string, unit: string): string {
  return printableLine(unit === '' ? name : `${name} (${unit})`, 60);
}

class Plane {
  readonly left = MARGIN.left;
  readonly top = MARGIN.top;
  readonly right: number;
  readonly bottom: number;

  constructor(
    readonly frame: Frame,
    private readonly both: boolean,
  ) {
    this.right = Math.max(this.left + 10, frame.width - MARGIN.right);
    this.bottom = Math.max(this.top + 10, frame.height - MARGIN.bottom);
  }

  zoomX(x: number): number {
    return x * this.frame.transform.k + this.frame.transform.x;
  }

  zoomY(y: number): number {
    return this.both ? y * this.frame.transform.k + this.frame.transform.y : y;
  }

  unzoomX(x: number): number {
    return (x - this.frame.transform.x) / this.frame.transform.k;
  }

  unzoomY(y: number): number {
    return this.both ? (y - this.frame.transform.y) / this.frame.transform.k : y;
  }

  holds(x: number, y: number): boolean {
    return x >= this.left - 1 && x <= this.right + 1 && y >= this.top - 1 && y <= this.bottom + 1;
  }
}

/** The next larger of 1, 2, 5, 10, 20, ... */
function roundStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, wanted)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= wanted)!;
}

/** Ticks at places of a list, as many as there is room for. */
function placeTicks(
  plane: Plane,
  count: number,
  at: (place: number) => number,
  label: (place: number) => string,
): Tick[] {
  const room = Math.max(2, Math.floor((plane.right - plane.left) / 90));
  const first = Math.max(
    0,
    Math.floor(((plane.unzoomX(plane.left) - plane.left) / (plane.right - plane.left)) * count),
  );
  const shown = Math.max(1, Math.min(count, Math.ceil(count / plane.frame.transform.k)));
  const step = roundStep(shown / room);
  const ticks: Tick[] = [];
  for (let place = Math.ceil(first / step) * step; place < count && ticks.length <= room + 2; place += step) {
    const x = plane.zoomX(at(place));
    if (x >= plane.left - 1 && x <= plane.right + 1)
      ticks.push({ at: x, label: printableLine(label(place), MAX_X_LABEL) });
  }
  return ticks;
}

/** A linear map without the checks of a scale, for a million points. */
function straight(low: number, high: number, from: number, to: number): (value: number) => number {
  const slope = (to - from) / (high - low);
  return (value) => (value - low) * slope + from;
}

function linear(low: number, high: number, from: number, to: number) {
  return scaleLinear().domain([low, high]).range([from, to]);
}

function numberTicks(scale: ReturnType<typeof linear>, room: number): Tick[] {
  const format = scale.tickFormat(room);
  return scale.ticks(room).map((value) => ({ at: scale(value), label: shortTick(value, format) }));
}

function yScale(plane: Plane, low: number, high: number) {
  const scale = linear(low, high, plane.bottom, plane.top).nice(6);
  const zoomed = linear(
    scale.invert(plane.unzoomY(plane.bottom)),
    scale.invert(plane.unzoomY(plane.top)),
    plane.bottom,
    plane.top,
  );
  const [bottom, top] = scale.domain() as [number, number];
  const [from, to] = zoomed.domain() as [number, number];
  const at = straight(bottom, top, plane.zoomY(plane.bottom), plane.zoomY(plane.top));
  return { at, from, to, ticks: numberTicks(zoomed, 6) };
}

function shortTick(value: number, format: (value: number) => string): string {
  const text = format(value);
  return text.length > 9 ? value.toExponential(2).replace('e+', 'e') : text;
}

function xScale(plane: Plane, data: Points) {
  const { low, high } = data.xExtent;
  const base = linear(low, high, plane.left, plane.right);
  const from = base.invert(plane.unzoomX(plane.left));
  const to = base.invert(plane.unzoomX(plane.right));
  const at = straight(low, high, plane.zoomX(plane.left), plane.zoomX(plane.right));
  if (data.axis.type === 'category')
    return {
      at,
      from,
      to,
      ticks: placeTicks(
        plane,
        data.x.length,
        (i) => base(i),
        (i) => data.axis.label(i),
      ),
    };
  const room = Math.max(2, Math.floor((plane.right - plane.left) / 90));
  if (data.axis.type === 'time' && Math.abs(from) < 8e15 && Math.abs(to) < 8e15) {
    const times = scaleUtc().domain([from, to]).range([plane.left, plane.right]);
    const format = times.tickFormat();
    return { at, from, to, ticks: times.ticks(room).map((time) => ({ at: times(time), label: format(time) })) };
  }
  return { at, from, to, ticks: numberTicks(linear(from, to, plane.left, plane.right), room) };
}

function describePoint(data: Points, point: ScenePoint): string[] {
  const series = data.series[point.series]!;
  const x = data.x[point.place]!;
  const unit = data.axis.unit === '' ? '' : ` ${data.axis.unit}`;
  let title = data.axis.label(point.place);
  if (data.axis.type === 'time') title = formatTime(x);
  if (data.axis.type === 'number') title = `${data.axis.name}: ${formatNumber(x)}${unit}`;
  const value = `${formatNumber(series.y[point.place]!)}${series.unit === '' ? '' : ` ${series.unit}`}`;
  return [printableLine(title, 80), `${printableLine(series.name, 60)}: ${value}`];
}

function pointsScene(data: Points, plane: Plane, y: ReturnType<typeof yScale>, x: { ticks: Tick[] }): Scene {
  const [only] = data.series;
  return {
    ...{ paths: [], points: [], xTicks: x.ticks, yTicks: y.ticks.filter(({ at }) => plane.holds(plane.left, at)) },
    ...{
      xTitle: titled(data.axis.name, data.axis.unit),
      yTitle: only && data.series.length === 1 ? titled(only.name, only.unit) : '',
    },
    legend: data.series.map((series, i) => ({ label: titled(series.name, series.unit), color: seriesColor(i) })),
    describe: (point) => describePoint(data, point),
  };
}

function lineScene(data: Points, plane: Plane): Scene {
  const x = xScale(plane, data);
  const y = yScale(plane, data.yExtent.low, data.yExtent.high);
  const scene = pointsScene(data, plane, y, x);
  const window = { low: x.from, high: x.to, buckets: Math.max(1, Math.round(plane.right - plane.left)) };
  data.series.forEach((series, index) => {
    const rows = sampleLine(data.x, series.y, window);
    let d = '';
    let before = -1;
    for (const row of rows) {
      const px = round(x.at(data.x[row]!));
      const py = round(y.at(series.y[row]!));
      const isBroken = before < 0 || (series.gaps !== null && series.gaps[row] !== series.gaps[before]);
      d += isBroken ? `M${px},${py}h0` : `L${px},${py}`;
      before = row;
      if (plane.holds(px, py)) scene.points.push({ x: px, y: py, series: index, place: row });
    }
    const dash = DASHES[index % DASHES.length]!;
    scene.paths.push({ d, color: seriesColor(index), role: 'line', ...(dash === '' ? {} : { dash }) });
  });
  return scene;
}

function scatterScene(data: Points, plane: Plane): Scene {
  const x = xScale(plane, data);
  const y = yScale(plane, data.yExtent.low, data.yExtent.high);
  const scene = pointsScene(data, plane, y, x);
  const down = Math.ceil(plane.frame.height / CLOUD_CELL) + 2;
  const cells = down * (Math.ceil(plane.frame.width / CLOUD_CELL) + 2);
  const { low, high } = data.xExtent;
  const dot = (Math.SQRT2 * CLOUD_CELL) / Math.abs(x.at(high) - x.at(low));
  const view = { x: { low: x.from, high: x.to }, y: { low: y.from, high: y.to }, dot };
  data.series.forEach((series, index) => {
    const cellOf = (valueX: number, valueY: number) => {
      const px = x.at(valueX);
      const py = y.at(valueY);
      return plane.holds(px, py) ? Math.floor(px / CLOUD_CELL) * down + Math.floor(py / CLOUD_CELL) : -1;
    };
    const { cloud } = series;
    const among = cloud && [...rowsInView(cloud, view), ...cloud.farthest];
    const rows = sampleCloud(data.x, series.y, cells, cellOf, among);
    const isDense = rows.length > MAX_ROUND;
    const dots: string[] = [];
    for (const row of rows) {
      const px = round(x.at(data.x[row]!));
      const py = round(y.at(series.y[row]!));
      dots.push(isDense ? `M${Math.round(px) - 1},${Math.round(py)}h3` : `M${px},${py}h0`);
      scene.points.push({ x: px, y: py, series: index, place: row });
    }
    scene.paths.push({ d: dots.join(''), color: seriesColor(index), role: isDense ? 'cells' : 'dots' });
  });
  return scene;
}

function rectangle(x: number, y: number, width: number, height: number): string {
  return `M${round(x)},${round(y)}h${round(width)}v${round(height)}h${round(-width)}z`;
}

function barScene(data: Points, plane: Plane): Scene {
  const y = yScale(plane, data.yExtent.low, data.yExtent.high);
  const slot = (plane.right - plane.left) / Math.max(1, data.x.length);
  const middle = (place: number) => plane.left + (place + 0.5) * slot;
  const ticks = placeTicks(plane, data.x.length, middle, (i) => data.axis.label(i));
  const scene = pointsScene(data, plane, y, { ticks });
  const width = (slot * 0.8) / Math.max(1, data.series.length);
  const zero = y.at(0);
  data.series.forEach((series, index) => {
    let d = '';
    for (let place = 0; place < data.x.length; place += 1) {
      const value = series.y[place]!;
      if (!isDrawable(value)) continue;
      const from = plane.zoomX(middle(place) - slot * 0.4 + index * width);
      const to = plane.zoomX(middle(place) - slot * 0.4 + (index + 1) * width);
      if (to < plane.left || from > plane.right) continue;
      const top = y.at(value);
      d += rectangle(from, Math.min(top, zero), Math.max(0.5, to - from), Math.max(0.5, Math.abs(top - zero)));
      scene.points.push({ x: round((from + to) / 2), y: round(top), series: index, place });
    }
    scene.paths.push({ d, color: seriesColor(index), role: 'area' });
  });
  return scene;
}

function histogramScene(data: Bins, plane: Plane): Scene {
  const x = linear(data.edges[0]!, data.edges.at(-1)!, plane.left, plane.right);
  const y = yScale(plane, 0, Math.max(1, ...data.counts));
  const unit = data.axis.unit === '' ? '' : ` ${data.axis.unit}`;
  const points: ScenePoint[] = [];
  let d = '';
  data.counts.forEach((count, bin) => {
    const from = plane.zoomX(x(data.edges[bin]!));
    const to = plane.zoomX(x(data.edges[bin + 1]!));
    if (to < plane.left || from > plane.right) return;
    const top = y.at(count);
    if (count > 0) d += rectangle(from + 0.5, top, Math.max(0.5, to - from - 1), plane.bottom - top);
    points.push({ x: round((from + to) / 2), y: round(top), series: 0, place: bin });
  });
  const zoomed = linear(
    x.invert(plane.unzoomX(plane.left)),
    x.invert(plane.unzoomX(plane.right)),
    plane.left,
    plane.right,
  );
  return {
    ...{ paths: [{ d, color: seriesColor(0), role: 'area' }], points, legend: [] },
    ...{ xTicks: numberTicks(zoomed, 8), yTicks: y.ticks },
    ...{ xTitle: titled(data.axis.name, data.axis.unit), yTitle: 'how many' },
    describe: ({ place }) => [
      `${formatNumber(data.edges[place]!)} to ${formatNumber(data.edges[place + 1]!)}${unit}`,
      formatNumber(data.counts[place]!),
    ],
  };
}

function describeBlock(data: Blocks, block: number): string[] {
  const range = (place: number, blocks: number, all: number) => {
    const from = Math.ceil((place * all) / blocks);
    return [from, Math.max(from, Math.ceil(((place + 1) * all) / blocks) - 1)] as const;
  };
  const [row, lastRow] = range(Math.floor(block / data.across), data.down, data.rows);
  const [column, lastColumn] = range(block % data.across, data.across, data.columns.length);
  const to = (a: number | string, b: number | string) => (a === b ? String(a) : `${a} to ${b}`);
  const place = `row ${to(row, lastRow)}, column ${to(data.columns[column]!, data.columns[lastColumn]!)}`;
  const values = data.counts[block]!;
  if (values === 0) return [printableLine(place, 120), 'no value'];
  if (values === 1) return [printableLine(place, 120), formatNumber(data.means[block]!)];
  const spread = `${formatNumber(data.lows[block]!)} to ${formatNumber(data.highs[block]!)}`;
  return [printableLine(place, 120), `mean ${formatNumber(data.means[block]!)} of ${values}, ${spread}`];
}

function heatScene(data: Blocks, plane: Plane): Scene {
  const width = (plane.right - plane.left) / data.across;
  const height = (plane.bottom - plane.top) / data.down;
  const { low, high } = data.extent;
  const steps = new Array<string>(HEAT_STEPS).fill('');
  const points: ScenePoint[] = [];
  for (let block = 0; block < data.means.length; block += 1) {
    const column = block % data.across;
    const row = Math.floor(block / data.across);
    const x = plane.zoomX(plane.left + column * width);
    const y = plane.zoomY(plane.top + row * height);
    const [w, h] = [width * plane.frame.transform.k, height * plane.frame.transform.k];
    if (x > plane.right || y > plane.bottom || x + w < plane.left || y + h < plane.top) continue;
    points.push({ x: round(x + w / 2), y: round(y + h / 2), series: row, place: block });
    if (data.counts[block] === 0) continue;
    const share = (data.means[block]! - low) / (high - low);
    const step = Math.min(HEAT_STEPS - 1, Math.max(0, Math.floor(share * HEAT_STEPS)));
    steps[step] += rectangle(x, y, w, h);
  }
  const paths = steps.flatMap((d, i): ScenePath[] => (d === '' ? [] : [{ d, color: heatColor(i), role: 'area' }]));
  const columnAt = (place: number) => plane.left + (place + 0.5) * ((plane.right - plane.left) / data.columns.length);
  const rowStep = roundStep(data.rows / plane.frame.transform.k / 10);
  const yTicks: Tick[] = [];
  for (let row = 0; row < data.rows; row += rowStep) {
    const at = plane.zoomY(plane.top + ((row + 0.5) * (plane.bottom - plane.top)) / data.rows);
    if (plane.holds(plane.left, at)) yTicks.push({ at, label: String(row) });
  }
  return {
    ...{ paths, points, yTicks, xTicks: placeTicks(plane, data.columns.length, columnAt, (i) => data.columns[i]!) },
    ...{ xTitle: 'column', yTitle: 'row', describe: ({ place }) => describeBlock(data, place) },
    legend: [0, 0.5, 1].map((share) => ({
      label: formatNumber(low + share * (high - low)),
      color: heatColor(share * (HEAT_STEPS - 1)),
    })),
  };
}

export function buildScene(kind: ChartKind, data: Prepared, frame: Frame): Scene {
  const plane = new Plane(frame, isZoomedBothWays(kind));
  if (data.form === 'bins') return histogramScene(data, plane);
  if (data.form === 'blocks') return heatScene(data, plane);
  if (kind === 'bar') return barScene(data, plane);
  return kind === 'scatter' ? scatterScene(data, plane) : lineScene(data, plane);
}
