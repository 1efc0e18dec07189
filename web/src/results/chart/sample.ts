// Fewer points that look the same. A pixel column of a line needs its first, lowest, highest and last point (M4); a cloud
// of points needs one per cell of pixels. Both keep the extremes, so no peak is ever lost.

/** Positions `from` to `to` of x that lie in [low, high], with one more at each side so that lines run on; x never falls. */
export function visibleRange(x: ArrayLike<number>, low: number, high: number): [number, number] {
  const first = (limit: number, isPast: (value: number) => boolean) => {
    let from = 0;
    let to = limit;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (isPast(x[middle]!)) to = middle;
      else from = middle + 1;
    }
    return from;
  };
  const from = first(x.length, (value) => value >= low);
  const to = first(x.length, (value) => value > high);
  return [Math.max(0, from - 1), Math.min(x.length, to + 1)];
}

/** The rows to draw of a series over a rising x: at most four per bucket, the extremes always among them. */
export function sampleLine(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  [from, to]: readonly [number, number],
  bucketOf: (x: number) => number,
): number[] {
  const rows: number[] = [];
  let bucket = Number.NaN;
  let first = -1;
  let last = -1;
  let low = -1;
  let high = -1;
  const flush = () => {
    if (first < 0) return;
    const kept = [first, low, high, last].sort((a, b) => a - b);
    kept.forEach((row, i) => {
      if (row !== kept[i - 1]) rows.push(row);
    });
  };
  for (let row = from; row < to; row += 1) {
    const value = y[row]!;
    if (!isDrawable(value) || !isDrawable(x[row]!)) continue;
    const here = bucketOf(x[row]!);
    if (here !== bucket) {
      flush();
      bucket = here;
      first = low = high = row;
    }
    last = row;
    if (value < y[low]!) low = row;
    if (value > y[high]!) high = row;
  }
  flush();
  return rows;
}

/** The rows to draw of a cloud: the first in each cell, and the four that lie farthest out. */
export function sampleCloud(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  cellOf: (x: number, y: number) => number,
): number[] {
  const seen = new Set<number>();
  const rows = new Set<number>();
  const far = [-1, -1, -1, -1];
  const isFarther = [
    (a: number, b: number) => x[a]! < x[b]!,
    (a: number, b: number) => x[a]! > x[b]!,
    (a: number, b: number) => y[a]! < y[b]!,
    (a: number, b: number) => y[a]! > y[b]!,
  ];
  for (let row = 0; row < x.length; row += 1) {
    if (!isDrawable(x[row]!) || !isDrawable(y[row]!)) continue;
    const cell = cellOf(x[row]!, y[row]!);
    if (cell < 0) continue;
    for (let side = 0; side < 4; side += 1) if (far[side]! < 0 || isFarther[side]!(row, far[side]!)) far[side] = row;
    if (seen.has(cell)) continue;
    seen.add(cell);
    rows.add(row);
  }
  for (const row of far) if (row >= 0) rows.add(row);
  return [...rows].sort((a, b) => a - b);
}

// Twice this is still finite, and so is the distance of any two.
const LARGEST = 4e307;

/** Finite, and not so large that the distance of two would not be. */
export function isDrawable(value: number): boolean {
  return value >= -LARGEST && value <= LARGEST;
}
