// The rows of a JSON tree that are in sight. A container of more than PAGE children shows pages of them, which open like
// containers, so that a list of a million is a thousand rows and nothing is ever too long to scroll.

import { type JsonDocument } from './json';
import type { Work } from './work';

export const PAGE = 1000;
export const MAX_ROWS = 200_000;
export const MAX_MATCHES = 10_000;
const MAX_SEARCHED = 1 << 20;
const BETWEEN_YIELDS = 2048;

export interface TreeRow {
  id: string;
  node: number;
  level: number;
  /** The children that this row stands for, if it is a page. */
  page: { from: number; to: number } | null;
  /** Its place among its siblings, from 1, and how many they are. */
  position: number;
  siblings: number;
  /** The index in its list; -1 for a member of an object or the root. */
  index: number;
}

export interface TreeRows {
  rows: TreeRow[];
  isCut: boolean;
}

export function rowId(node: number, page?: { from: number; to: number } | null): string {
  return page ? `${node}:${page.from}-${page.to}` : String(node);
}

function pageSize(count: number): number {
  let size = PAGE;
  while (count > size * PAGE) size *= PAGE;
  return size;
}

/** The child at an index: at once in a list of scalars, else by passing those before it. */
export function childAt(document: JsonDocument, node: number, index: number): number {
  if (document.sizes[node] === document.childCount(node) + 1) return node + 1 + index;
  let child = node + 1;
  for (let i = 0; i < index; i += 1) child = document.after(child);
  return child;
}

class Walk {
  readonly rows: TreeRow[] = [];
  isCut = false;

  constructor(
    private readonly document: JsonDocument,
    private readonly open: ReadonlySet<string>,
  ) {}

  private push(row: TreeRow): boolean {
    if (this.rows.length === MAX_ROWS) this.isCut = true;
    else this.rows.push(row);
    return !this.isCut;
  }

  node(node: number, level: number, position: number, siblings: number, index: number): void {
    const id = rowId(node);
    if (!this.push({ id, node, level, page: null, position, siblings, index })) return;
    if (this.document.isContainer(node) && this.open.has(id))
      this.range(node, level + 1, 0, this.document.childCount(node));
  }

  private range(node: number, level: number, from: number, to: number): void {
    if (to - from > PAGE) this.pages(node, level, from, to);
    else this.elements(node, level, from, to);
  }

  private elements(node: number, level: number, from: number, to: number): void {
    let child = childAt(this.document, node, from);
    for (let i = from; i < to && !this.isCut; i += 1) {
      this.node(child, level, i - from + 1, to - from, this.document.hasKey(child) ? -1 : i);
      child = this.document.after(child);
    }
  }

  private pages(node: number, level: number, from: number, to: number): void {
    const size = pageSize(to - from);
    const pages = Math.ceil((to - from) / size);
    for (let i = 0; i < pages && !this.isCut; i += 1) {
      const page = { from: from + i * size, to: Math.min(to, from + (i + 1) * size) };
      const id = rowId(node, page);
      if (this.push({ id, node, level, page, position: i + 1, siblings: pages, index: -1 }) && this.open.has(id))
        this.range(node, level + 1, page.from, page.to);
    }
  }
}

export function treeRows(document: JsonDocument, open: ReadonlySet<string>): TreeRows {
  const walk = new Walk(document, open);
  walk.node(0, 1, 1, 1, -1);
  return { rows: walk.rows, isCut: walk.isCut };
}

/** The place of a node among its parent's children. */
function childHolding(document: JsonDocument, parent: number, node: number): { child: number; index: number } {
  let index = 0;
  for (const child of document.children(parent)) {
    if (node < document.after(child)) return { child, index };
    index += 1;
  }
  throw new RangeError(`node ${node} is not in ${parent}`);
}

/** What must be open for a node to be in sight, and the way to it as in `.jobs[3].name`. */
export function wayTo(document: JsonDocument, node: number): { open: string[]; path: string } {
  const open: string[] = [];
  let path = '';
  for (let at = 0; at !== node;) {
    const { child, index } = childHolding(document, at, node);
    open.push(rowId(at));
    let [from, to] = [0, document.childCount(at)];
    while (to - from > PAGE) {
      const size = pageSize(to - from);
      from += Math.floor((index - from) / size) * size;
      to = Math.min(to, from + size);
      open.push(rowId(at, { from, to }));
    }
    path += document.hasKey(child) ? keyPath(document.key(child)) : `[${index}]`;
    at = child;
  }
  return { open, path };
}

function keyPath(key: string): string {
  return /^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** The nodes whose key or value holds the text, in their order; upper and lower case are the same. */
export function* findText(document: JsonDocument, text: string): Work<number[]> {
  const wanted = text.toLowerCase();
  const found: number[] = [];
  const holds = (value: string) => value.toLowerCase().includes(wanted);
  for (let node = 0; node < document.length && found.length < MAX_MATCHES; node += 1) {
    if (node % BETWEEN_YIELDS === BETWEEN_YIELDS - 1) yield;
    const inKey = document.hasKey(node) && holds(document.key(node, MAX_SEARCHED));
    if (inKey || (!document.isContainer(node) && holds(document.text(node, MAX_SEARCHED)))) found.push(node);
  }
  return found;
}

/** Opens what lies below a node, breadth first, until some `most` rows are in sight. */
export function openBelow(document: JsonDocument, node: number, open: ReadonlySet<string>, most = 2000): Set<string> {
  const made = new Set(open);
  let rows = 0;
  const queue = [node];
  for (let i = 0; i < queue.length && rows < most; i += 1) {
    const next = queue[i]!;
    if (!document.isContainer(next)) continue;
    made.add(rowId(next));
    rows += Math.min(document.childCount(next), PAGE);
    if (document.childCount(next) > PAGE) continue;
    for (const child of document.children(next)) if (document.isContainer(child)) queue.push(child);
  }
  return made;
}
