// Points in the order of a quadtree, so that what a view of a million costs goes by its pixels: cells outside of the view are
// not visited, and of a cell that is smaller than a dot only the first point.
//
// Bound: 16 levels. Points that are closer together than that are all visited when somebody zooms in so far.
import type { Work } from '../work';
import { isDrawable } from './sample';

const LEVELS = 16;
const SIDE = 2 ** LEVELS;
const BETWEEN_YIELDS = 65_536;

export interface Extent {
  low: number;
  high: number;
}

export interface Cloud {
  /** In the order of their codes, and of those that are equal as they came. */
  rows: Uint32Array;
  codes: Uint32Array;
  /** The rows that lie farthest out: left, right, low and high. */
  farthest: readonly number[];
  xExtent: Extent;
  yExtent: Extent;
}

/** Puts a zero before each of 16 bits. */
function spread(bits: number): number {
  let spaced = (bits | (bits << 8)) & 0x00ff00ff;
  spaced = (spaced | (spaced << 4)) & 0x0f0f0f0f;
  spaced = (spaced | (spaced << 2)) & 0x33333333;
  return (spaced | (spaced << 1)) & 0x55555555;
}

function placeIn({ low, high }: Extent, value: number): number {
  return Math.min(SIDE - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * SIDE)));
}

/** One pass of a radix sort, by the 16 bits from `shift` on. */
function* sortedBy(rows: Uint32Array, codes: Uint32Array, shift: number): Work<Uint32Array> {
  const ends = new Uint32Array(SIDE + 1);
  for (const row of rows) ends[((codes[row]! >>> shift) & (SIDE - 1)) + 1]! += 1;
  yield;
  for (let digit = 0; digit < SIDE; digit += 1) ends[digit + 1]! += ends[digit]!;
  const sorted = new Uint32Array(rows.length);
  for (let i = 0; i < rows.length; i += 1) {
    if (i % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const row = rows[i]!;
    const digit = (codes[row]! >>> shift) & (SIDE - 1);
    sorted[ends[digit]!] = row;
    ends[digit]! += 1;
  }
  return sorted;
}

function farthestOf(rows: Uint32Array, x: Float64Array, y: Float64Array): number[] {
  const [first] = rows;
  if (first === undefined) return [];
  let [left, right, low, high] = [first, first, first, first];
  for (const row of rows) {
    if (x[row]! < x[left]!) left = row;
    if (x[row]! > x[right]!) right = row;
    if (y[row]! < y[low]!) low = row;
    if (y[row]! > y[high]!) high = row;
  }
  return [left, right, low, high];
}

/** The points that can be drawn. */
export function* cloudOf(x: Float64Array, y: Float64Array, xExtent: Extent, yExtent: Extent): Work<Cloud> {
  const codeOf = new Uint32Array(x.length);
  const drawable = new Uint32Array(x.length);
  let count = 0;
  for (let row = 0; row < x.length; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    if (!isDrawable(x[row]!) || !isDrawable(y[row]!)) continue;
    codeOf[row] = spread(placeIn(xExtent, x[row]!)) | (spread(placeIn(yExtent, y[row]!)) << 1);
    drawable[count] = row;
    count += 1;
  }
  const half = yield* sortedBy(drawable.subarray(0, count), codeOf, 0);
  const rows = yield* sortedBy(half, codeOf, LEVELS);
  const codes = new Uint32Array(count);
  for (let i = 0; i < count; i += 1) {
    if (i % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    codes[i] = codeOf[rows[i]!]!;
  }
  return { rows, codes, farthest: farthestOf(rows, x, y), xExtent, yExtent };
}

/** The first place from `from` on whose code is at least `limit`: it looks near first. */
function firstAtLeast(codes: Uint32Array, limit: number, from: number, to: number): number {
  let step = 1;
  let low = from;
  while (low + step < to && codes[low + step]! < limit) {
    low += step;
    step *= 2;
  }
  let high = Math.min(to, low + step);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (codes[middle]! >= limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

export interface View {
  x: Extent;
  y: Extent;
  /** What of the whole extent a dot covers, the smaller way. */
  dot: number;
}

/** The rows to draw: one of each cell of the view that is at most as large as a dot, in both ways. */
export function rowsInView({ rows, codes, xExtent, yExtent }: Cloud, view: View): number[] {
  const found: number[] = [];
  const depth = Math.min(LEVELS, Math.max(0, Math.ceil(-Math.log2(view.dot))));
  const isAll = view.dot < 1 / SIDE;
  const window = {
    left: placeIn(xExtent, view.x.low),
    right: placeIn(xExtent, view.x.high),
    low: placeIn(yExtent, view.y.low),
    high: placeIn(yExtent, view.y.high),
  };
  const take = (from: number, to: number) => {
    const size = 4 ** (LEVELS - depth);
    for (let at = from; at < to;) {
      found.push(rows[at]!);
      at = isAll ? at + 1 : firstAtLeast(codes, (Math.floor(codes[at]! / size) + 1) * size, at, to);
    }
  };
  const visit = (from: number, to: number, level: number, column: number, line: number, code: number): void => {
    const side = 2 ** (LEVELS - level);
    const [right, high] = [column + side - 1, line + side - 1];
    if (from === to || column > window.right || right < window.left || line > window.high || high < window.low) return;
    const isInside = column >= window.left && right <= window.right && line >= window.low && high <= window.high;
    if (isInside || level >= depth) return take(from, to);
    let begin = from;
    for (let child = 0; child < 4; child += 1) {
      const start = code + child * (side / 2) ** 2;
      const end = child === 3 ? to : firstAtLeast(codes, start + (side / 2) ** 2, begin, to);
      visit(begin, end, level + 1, column + (child & 1) * (side / 2), line + (child >> 1) * (side / 2), start);
      begin = end;
    }
  };
  visit(0, rows.length, 0, 0, 0, 0);
  return found;
}
