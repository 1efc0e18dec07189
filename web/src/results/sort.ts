// Sorting by a column of mixed types, in slices. The order is total: numbers (big integers exactly), then true and false,
// texts, what is nested, null, and at the end what is missing. Descending order keeps the missing at the end.

import type { CellKind, Table } from './table';
import type { Work } from './work';

const RANKS: Record<CellKind, number> = { number: 0, boolean: 1, text: 2, nested: 3, null: 4, missing: 5 };
const BETWEEN_YIELDS = 4096;
const KEY_LENGTH = 200;

export type Direction = 'ascending' | 'descending';

interface Keys {
  ranks: Uint8Array;
  numbers: Float64Array;
  /** Texts, and the digits of integers that a double does not hold. */
  texts: (string | undefined)[];
}

const BIG = /^-?\d{16,400}$/;

function* keysOf(table: Table, column: number): Work<Keys> {
  const ranks = new Uint8Array(table.rows);
  const numbers = new Float64Array(table.rows);
  const texts: (string | undefined)[] = [];
  for (let row = 0; row < table.rows; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const cell = table.cell(row, column, KEY_LENGTH);
    ranks[row] = RANKS[cell.kind];
    if (cell.kind === 'number') {
      numbers[row] = table.number(row, column);
      texts.push(BIG.test(cell.text) ? cell.text : undefined);
    } else {
      texts.push(cell.text);
    }
  }
  return { ranks, numbers, texts };
}

function compareNumbers(keys: Keys, a: number, b: number): number {
  const x = keys.numbers[a]!;
  const y = keys.numbers[b]!;
  if (x < y) return -1;
  if (x > y) return 1;
  if (x === y) {
    const bigX = keys.texts[a];
    const bigY = keys.texts[b];
    if (bigX === undefined || bigY === undefined || bigX === bigY) return 0;
    return BigInt(bigX) < BigInt(bigY) ? -1 : 1;
  }
  // Only NaN is left: after all other numbers.
  return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
}

function compareTexts(x: string, y: string): number {
  return x < y ? -1 : Number(x > y);
}

function comparator(keys: Keys, direction: Direction): (a: number, b: number) => number {
  const sign = direction === 'ascending' ? 1 : -1;
  return (a, b) => {
    const rankA = keys.ranks[a]!;
    const rankB = keys.ranks[b]!;
    if (rankA === RANKS.missing || rankB === RANKS.missing) return rankA - rankB;
    if (rankA !== rankB) return sign * (rankA - rankB);
    if (rankA === RANKS.number) return sign * compareNumbers(keys, a, b);
    return sign * compareTexts(keys.texts[a] ?? '', keys.texts[b] ?? '');
  };
}

/** Merges [from, middle) and [middle, to) of `source` into `target`. */
function* merge(
  source: Uint32Array,
  target: Uint32Array,
  [from, middle, to]: [number, number, number],
  compare: (a: number, b: number) => number,
): Work<void> {
  let left = from;
  let right = middle;
  for (let i = from; i < to; i += 1) {
    if (i % BETWEEN_YIELDS === 0) yield;
    const takeLeft = left < middle && (right >= to || compare(source[left]!, source[right]!) <= 0);
    target[i] = takeLeft ? source[left++]! : source[right++]!;
  }
}

const RUN = 512;

/** The numbers 0 to `length` - 1. */
export function counted(length: number): Uint32Array<ArrayBuffer> {
  const made = new Uint32Array(length);
  for (let i = 0; i < length; i += 1) made[i] = i;
  return made;
}

/** The numbers 0 to `length` - 1 in the order of a comparison; a stable merge sort. */
export function* sortedPlaces(length: number, compare: (a: number, b: number) => number): Work<Uint32Array> {
  let source = counted(length);
  let target = new Uint32Array(length);
  for (let from = 0; from < length; from += RUN) {
    source.subarray(from, from + RUN).sort(compare);
    yield;
  }
  for (let run = RUN; run < length; run *= 2) {
    for (let from = 0; from < length; from += 2 * run) {
      const middle = Math.min(from + run, length);
      yield* merge(source, target, [from, middle, Math.min(from + 2 * run, length)], compare);
    }
    [source, target] = [target, source];
  }
  return source;
}

/** The rows in the order of a column; rows that are equal keep theirs. */
export function* sortedRows(table: Table, column: number, direction: Direction): Work<Uint32Array> {
  const keys = yield* keysOf(table, column);
  return yield* sortedPlaces(table.rows, comparator(keys, direction));
}
