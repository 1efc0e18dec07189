// Tables over JSON documents and CSV. A table copies nothing: a cell is read when it is asked for, and whole columns only to
// sort or to draw. Bounds: MAX_COLUMNS; a cell's text is cut.

import { type Csv, fieldText } from './csv';
import { type JsonDocument, Kind } from './json';
import type { Work } from './work';

export const MAX_COLUMNS = 256;
const MAX_HIDDEN = 10_000;
const BETWEEN_YIELDS = 4096;

export type CellKind = 'number' | 'text' | 'boolean' | 'null' | 'nested' | 'missing';

export interface Cell {
  kind: CellKind;
  text: string;
}

export interface Table {
  columns: readonly string[];
  rows: number;
  /** Columns beyond the bound. */
  hiddenColumns: number;
  /** Fields that a row has; those of a ragged table differ. */
  width(row: number): number;
  cell(row: number, column: number, most?: number): Cell;
  /** The number in a cell, NaN where there is none. 1e400 is Infinity. */
  number(row: number, column: number): number;
}

const MISSING: Cell = { kind: 'missing', text: '' };
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|^(?:NaN|[+-]?(?:Infinity|inf))$/;

const KINDS: Record<Kind, CellKind> = {
  [Kind.null]: 'null',
  [Kind.false]: 'boolean',
  [Kind.true]: 'boolean',
  [Kind.number]: 'number',
  [Kind.string]: 'text',
  [Kind.array]: 'nested',
  [Kind.object]: 'nested',
};

/** A table whose cells are nodes of a document. */
class NodeTable implements Table {
  constructor(
    readonly document: JsonDocument,
    readonly columns: readonly string[],
    readonly rows: number,
    private readonly at: (row: number, column: number) => number,
    private readonly widthOf: (row: number) => number = () => columns.length,
    readonly hiddenColumns = 0,
  ) {}

  width(row: number): number {
    return this.widthOf(row);
  }

  cell(row: number, column: number, most = 1000): Cell {
    const node = this.at(row, column);
    if (node < 0) return MISSING;
    return { kind: KINDS[this.document.kind(node)], text: this.document.text(node, most) };
  }

  number(row: number, column: number): number {
    const node = this.at(row, column);
    return node < 0 ? Number.NaN : this.document.number(node);
  }
}

/** A member's key in place of its value: the first column of an object that is shown as a table. */
class EntriesTable extends NodeTable {
  override cell(row: number, column: number, most = 1000): Cell {
    if (column === 0) return { kind: 'text', text: this.document.key(this.rowNode(row), most) };
    return super.cell(row, column, most);
  }

  override number(row: number, column: number): number {
    return column === 0 ? Number.NaN : super.number(row, column);
  }

  constructor(
    document: JsonDocument,
    private readonly nodes: Uint32Array,
  ) {
    super(document, ['key', 'value'], nodes.length, (row) => nodes[row] ?? -1);
  }

  private rowNode(row: number): number {
    return this.nodes[row]!;
  }
}

function childrenOf(document: JsonDocument, node: number): Uint32Array {
  const found = new Uint32Array(document.childCount(node));
  let i = 0;
  for (const child of document.children(node)) found[i++] = child;
  return found;
}

function* recordsTable(document: JsonDocument, rows: Uint32Array): Work<Table> {
  const keys = new Set<string>();
  const raw: Uint8Array[] = [];
  const hidden = new Set<string>();
  for (let row = 0; row < rows.length; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const end = document.after(rows[row]!);
    for (let child = rows[row]! + 1, place = 0; child < end; child = document.after(child), place += 1) {
      // Most objects of a list have one order of keys.
      if (place < raw.length && document.keyIs(child, raw[place]!)) continue;
      const key = document.key(child);
      if (keys.has(key)) continue;
      if (keys.size === MAX_COLUMNS) {
        if (hidden.size < MAX_HIDDEN) hidden.add(key);
        continue;
      }
      keys.add(key);
      raw.push(document.rawKey(child));
    }
  }
  const near = new Int32Array(raw.length);
  const at = (row: number, column: number) => {
    const record = rows[row];
    const key = raw[column];
    if (record === undefined || key === undefined) return -1;
    const found = document.member(record, key, near[column]);
    if (found > 0) near[column] = found - record;
    return found;
  };
  return new NodeTable(
    document,
    [...keys.keys()],
    rows.length,
    at,
    (row) => document.childCount(rows[row]!),
    hidden.size,
  );
}

function* rowsTable(document: JsonDocument, rows: Uint32Array): Work<Table> {
  let widest = 0;
  for (let row = 0; row < rows.length; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    widest = Math.max(widest, document.isContainer(rows[row]!) ? document.childCount(rows[row]!) : 1);
  }
  const columns = Array.from({ length: Math.min(widest, MAX_COLUMNS) }, (_, i) => String(i));
  const at = (row: number, column: number) => {
    const node = rows[row];
    if (node === undefined) return -1;
    if (!document.isContainer(node)) return column === 0 ? node : -1;
    if (column >= document.childCount(node)) return -1;
    let child = node + 1;
    // A row of scalars, which almost all are, has one node per field.
    if (document.sizes[node] === document.childCount(node) + 1) return child + column;
    for (let i = 0; i < column; i += 1) child = document.after(child);
    return child;
  };
  const width = (row: number) => (document.isContainer(rows[row]!) ? document.childCount(rows[row]!) : 1);
  return new NodeTable(document, columns, rows.length, at, width, Math.max(0, widest - MAX_COLUMNS));
}

function columnsTable(document: JsonDocument, members: Uint32Array): Table {
  const shown = members.slice(0, MAX_COLUMNS);
  const rows = shown.reduce((most, node) => Math.max(most, document.childCount(node)), 0);
  const columns = [...shown].map((node) => document.key(node));
  const children = [...shown].map((node) => childrenOf(document, node));
  const at = (row: number, column: number) => children[column]?.[row] ?? -1;
  const width = (row: number) => children.filter((column) => row < column.length).length;
  return new NodeTable(document, columns, rows, at, width, members.length - shown.length);
}

function every(document: JsonDocument, nodes: Uint32Array, kinds: readonly Kind[]): boolean {
  return nodes.every((node) => kinds.includes(document.kind(node)));
}

/** The table that a node of a document is, or null: a list of objects, of rows or of values, or an object of either. */
export function* tableOf(document: JsonDocument, node: number): Work<Table | null> {
  if (!document.isContainer(node) || document.childCount(node) === 0) return null;
  const children = childrenOf(document, node);
  yield;
  if (document.kind(node) === Kind.object) {
    if (every(document, children, [Kind.array]) && isFlat(document, children)) return columnsTable(document, children);
    return new EntriesTable(document, children);
  }
  if (every(document, children, [Kind.object])) return yield* recordsTable(document, children);
  if (every(document, children, [Kind.array])) return yield* rowsTable(document, children);
  return new NodeTable(document, ['value'], children.length, (row, column) =>
    column === 0 ? (children[row] ?? -1) : -1,
  );
}

function isFlat(document: JsonDocument, arrays: Uint32Array): boolean {
  return arrays.every((node) => document.sizes[node] === document.childCount(node) + 1);
}

class CsvTable implements Table {
  constructor(
    readonly columns: readonly string[],
    readonly rows: number,
    readonly hiddenColumns: number,
    private readonly csv: Csv,
    private readonly first: number,
  ) {}

  width(row: number): number {
    return this.csv.rows[row + this.first + 1]! - this.csv.rows[row + this.first]!;
  }

  cell(row: number, column: number, most = 1000): Cell {
    if (row >= this.rows || column >= this.width(row)) return MISSING;
    const text = fieldText(this.csv, this.csv.rows[row + this.first]! + column, most);
    return { kind: NUMBER.test(text.trim()) ? 'number' : text === '' ? 'null' : 'text', text };
  }

  number(row: number, column: number): number {
    const { kind, text } = this.cell(row, column);
    return kind === 'number' ? Number(text.trim().replace(/^([+-]?)inf$/, '$1Infinity')) : Number.NaN;
  }
}

/** A header has only texts, none twice, and none of them empty. */
function isHeader(cells: readonly string[]): boolean {
  return new Set(cells).size === cells.length && cells.every((text) => text !== '' && !NUMBER.test(text.trim()));
}

export function* csvTable(csv: Csv): Work<Table> {
  let widest = 0;
  for (let row = 0; row < csv.rowCount; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    widest = Math.max(widest, csv.rows[row + 1]! - csv.rows[row]!);
  }
  const first = Array.from({ length: Math.min(csv.rows[1] ?? 0, MAX_COLUMNS) }, (_, i) => fieldText(csv, i));
  const header = csv.rowCount > 1 && isHeader(first);
  const columns = Array.from({ length: Math.min(widest, MAX_COLUMNS) }, (_, i) => (header && first[i]) || String(i));
  const hidden = Math.max(0, widest - MAX_COLUMNS);
  return new CsvTable(columns, csv.rowCount - (header ? 1 : 0), hidden, csv, header ? 1 : 0);
}

/** How many rows have fewer or more fields than most of the rows that were looked at. */
export function* raggedRows(table: Table): Work<number> {
  const seen = new Map<number, number>();
  for (let row = 0; row < table.rows; row += 1) {
    if (row % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const width = table.width(row);
    seen.set(width, (seen.get(width) ?? 0) + 1);
  }
  return table.rows - Math.max(0, ...seen.values());
}
