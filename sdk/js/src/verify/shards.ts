// Sets of shard numbers, as records have them: ascending ranges.
import { demand } from './refused.js';
import type { Range } from './records.js';

/** How many there are; refuses ranges that are empty, overlap, are out of order or go past `shards`. */
export function countOf(ranges: readonly Range[], shards: number): number {
  let next = 0;
  let count = 0;
  for (const range of ranges) {
    demand(
      range.count > 0 && range.first >= next && range.first + range.count <= shards,
      `shard ranges are not ascending, apart and below ${shards}`,
    );
    next = range.first + range.count;
    count += range.count;
  }
  return count;
}

/** The numbers, at most `most` of them. */
export function expand(ranges: readonly Range[], shards: number, most: number): number[] {
  const count = countOf(ranges, shards);
  demand(count <= most, `more than ${most} shards at once`);
  return ranges.flatMap((range) => Array.from({ length: range.count }, (_, i) => range.first + i));
}

export function covers(ranges: readonly Range[], shard: number): boolean {
  return ranges.some((range) => shard >= range.first && shard - range.first < range.count);
}
