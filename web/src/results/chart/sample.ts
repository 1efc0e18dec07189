// Fewer points that look the same. A pixel column of a line needs its first, lowest, highest and last point (M4); a cloud
// of points needs one per cell of pixels. Both keep the extremes, so no peak is ever lost.

/** The first place in [from, to) whose value is at least `limit`, in values that never fall; else `to`. */
function firstAtLeast(values: ArrayLike<number>, limit: number, from: number, to: number): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! >= limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** What of a series lies between two places: the rows of its first, lowest, highest and last value that can be drawn. */
function extremes(y: ArrayLike<number>, from: number, to: number, rows: number[]): void {
  let [first, last, low, high] = [-1, -1, -1, -1];
  for (let row = from; row < to; row += 1) {
    const value = y[row]!;
    if (!isDrawable(value)) continue;
    if (first < 0) first = low = high = row;
    else if (value < y[low]!) low = row;
    else if (value > y[high]!) high = row;
    last = row;
  }
  if (first < 0) return;
  rows.push(first);
  const [near, far] = low < high ? [low, high] : [high, low];
  if (near !== first) rows.push(near);
  if (far !== near && far !== first) rows.push(far);
  if (last !== far && last !== first) rows.push(last);
}

export interface Window {
  low: number;
  high: number;
  buckets: number;
}

/**
 * The rows to draw of a series over an x that never falls: at most four per bucket of the window, and one more at either
 * side of it so that the line runs on.
 */
export function sampleLine(x: ArrayLike<number>, y: ArrayLike<number>, { low, high, buckets }: Window): number[] {
  const rows: number[] = [];
  const begin = firstAtLeast(x, low, 0, x.length);
  for (let before = begin - 1; before >= 0 && rows.length === 0; before -= 1)
    if (isDrawable(y[before]!)) rows.push(before);
  let from = begin;
  for (let bucket = 1; bucket <= buckets && from < x.length; bucket += 1) {
    const to = firstAtLeast(x, low + ((high - low) * bucket) / buckets, from, x.length);
    extremes(y, from, to, rows);
    from = to;
  }
  while (from < x.length && x[from]! <= high) extremes(y, from, (from += 1), rows);
  while (from < x.length && !isDrawable(y[from]!)) from += 1;
  if (from < x.length) rows.push(from);
  return rows;
}

/** The rows to draw of a cloud: the first in each cell, in the order of the cells, and the four that lie farthest out; only of `among`. */
export function sampleCloud(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  cells: number,
  cellOf: (x: number, y: number) => number,
  among: ArrayLike<number> | null = null,
): number[] {
  const firsts = new Int32Array(cells).fill(-1);
  let [left, right, low, high] = [-1, -1, -1, -1];
  const count = among ? among.length : x.length;
  for (let i = 0; i < count; i += 1) {
    const row = among ? among[i]! : i;
    const [valueX, valueY] = [x[row]!, y[row]!];
    if (!isDrawable(valueX) || !isDrawable(valueY)) continue;
    const cell = cellOf(valueX, valueY);
    if (cell < 0) continue;
    if (left < 0) left = right = low = high = row;
    if (valueX < x[left]!) left = row;
    if (valueX > x[right]!) right = row;
    if (valueY < y[low]!) low = row;
    if (valueY > y[high]!) high = row;
    if (firsts[cell]! < 0) firsts[cell] = row;
  }
  const rows = new Set<number>(firsts.filter((row) => row >= 0));
  for (const row of [left, right, low, high]) if (row >= 0) rows.add(row);
  return [...rows];
}

// Twice this is still finite, and so is the distance of any two.
const LARGEST = 4e307;

/** Finite, and not so large that the distance of two would not be. */
export function isDrawable(value: number): boolean {
  return value >= -LARGEST && value <= LARGEST;
}
