// Reads a table's columns as numbers, once, in slices; all drawing works on these.

import type { JsonDocument } from '../json';
import { type Table, tableOf } from '../table';
import type { Work } from '../work';
import { isDrawable } from './sample';
import type { ColumnShape, ColumnType, Shape } from './shape';
import { type Network, networkOf } from './network';

const BETWEEN_YIELDS = 2048;
const TYPE_SAMPLE = 1000;
const MAX_CHART_COLUMNS = 256;
const MAX_CHART_CELLS = 8_000_000;
const SEARCH_DEPTH = 3;
const SEARCH_NODES = 200;
const MAX_PARTS = 50;
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

interface Part {
  node: number;
  path: string;
}

/** Data that can be drawn. `numbers` has a column per column of the shape; that of a category holds NaN. */
export interface Dataset {
  table: Table | null;
  shape: Shape;
  numbers: readonly Float64Array[];
  network: Network | null;
  /** Where in the document it was found, as `.result.points`; empty for the whole. */
  path: string;
}

function typeOf(table: Table, column: number): ColumnType {
  const seen = { number: 0, time: 0, text: 0, other: 0 };
  const step = Math.max(1, Math.floor(table.rows / TYPE_SAMPLE));
  for (let row = 0; row < table.rows; row += step) {
    const cell = table.cell(row, column, 64);
    if (cell.kind === 'number') seen.number += 1;
    else if (cell.kind === 'text') seen[ISO_TIME.test(cell.text) ? 'time' : 'text'] += 1;
    else if (cell.kind === 'nested') seen.other += 1;
    else if (cell.kind === 'boolean') seen.text += 1;
  }
  const all = seen.number + seen.time + seen.text + seen.other;
  if (all === 0) return 'other';
  if (seen.number >= all * 0.5) return 'number';
  if (seen.time >= all * 0.9) return 'time';
  return seen.other > all * 0.1 ? 'other' : 'category';
}

function reader(table: Table, column: number, type: ColumnType): (row: number) => number {
  if (type === 'number') return (row) => table.number(row, column);
  if (type === 'time') return (row) => Date.parse(table.cell(row, column, 64).text);
  return () => Number.NaN;
}

function* readColumn(table: Table, column: number, type: ColumnType): Work<Float64Array> {
  const numbers = new Float64Array(table.rows).fill(Number.NaN);
  if (type !== 'number' && type !== 'time') return numbers;
  const read = reader(table, column, type);
  for (let row = 0; row < table.rows; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    numbers[row] = read(row);
  }
  return numbers;
}

/** Never falls and rises somewhere, and can be placed everywhere: what an x axis needs. */
function rises(numbers: Float64Array): boolean {
  for (let row = 0; row < numbers.length; row += 1)
    if (!isDrawable(numbers[row]!) || (row > 0 && numbers[row]! < numbers[row - 1]!)) return false;
  return numbers.length > 1 && numbers[numbers.length - 1]! > numbers[0]!;
}

function isMatrix(table: Table, columns: readonly ColumnShape[]): boolean {
  if (!columns.every((column, i) => column.type === 'number' && column.name === String(i))) return false;
  for (let row = 0; row < table.rows; row += 1) if (table.width(row) !== columns.length) return false;
  return true;
}

function* readTable(table: Table, path: string, network: Network | null): Work<Dataset> {
  const columns: ColumnShape[] = [];
  const numbers: Float64Array[] = [];
  const most = Math.min(table.columns.length, MAX_CHART_COLUMNS, Math.max(8, Math.floor(MAX_CHART_CELLS / table.rows)));
  for (let i = 0; i < most; i += 1) {
    const type = typeOf(table, i);
    const read = yield* readColumn(table, i, type);
    columns.push({ name: table.columns[i]!, type, rises: (type === 'number' || type === 'time') && rises(read) });
    numbers.push(read);
    yield;
  }
  const shape = { rows: table.rows, columns, isMatrix: isMatrix(table, columns), isNetwork: network !== null };
  return { table, shape, numbers, network, path };
}

export function csvDataset(table: Table): Work<Dataset> {
  return readTable(table, '', null);
}

function hasNumbers(dataset: Dataset): boolean {
  return dataset.shape.columns.some((column) => column.type === 'number');
}

function* datasetAt(document: JsonDocument, node: number, path: string): Work<Dataset | null> {
  const network = yield* networkOf(document, node);
  const table = yield* tableOf(document, network?.list ?? node);
  if (!table) return null;
  const dataset = yield* readTable(table, path, network);
  return network || hasNumbers(dataset) ? dataset : null;
}

/** The containers in a node, with the way to each. A long list is one thing, and its elements are not looked at. */
function partsOf(document: JsonDocument, node: number, path: string): Part[] {
  if (!document.isContainer(node) || document.childCount(node) > MAX_PARTS) return [];
  return [...document.children(node)].flatMap((child, i) => {
    const step = document.hasKey(child) ? `.${document.key(child)}` : `[${i}]`;
    return document.isContainer(child) ? [{ node: child, path: path + step }] : [];
  });
}

/** The first thing in the document, from the outside in, that can be drawn; null if there is none. */
export function* findDataset(document: JsonDocument): Work<Dataset | null> {
  let level: Part[] = [{ node: 0, path: '' }];
  for (let depth = 0; depth < SEARCH_DEPTH; depth += 1) {
    const inner: Part[] = [];
    let best: Dataset | null = null;
    for (const { node, path } of level) {
      const found = yield* datasetAt(document, node, path);
      if (found && (!best || found.shape.rows > best.shape.rows || found.network)) best = found;
      inner.push(...partsOf(document, node, path).slice(0, SEARCH_NODES - inner.length));
    }
    if (best && !(depth < SEARCH_DEPTH - 1 && isSummary(best, inner.length))) return best;
    level = inner;
  }
  return null;
}

/** An object with a few numbers beside larger parts, as `{"n": 3, "points": [...]}`: the parts are what one wants to see. */
function isSummary(dataset: Dataset, parts: number): boolean {
  return parts > 0 && dataset.network === null && dataset.table?.columns.join() === 'key,value';
}
