// Reads nodes and links from what usually holds them: {nodes, links|edges}, or a list of {source, target} or {from, to}.
// Bounds: MAX_NETWORK_NODES and MAX_NETWORK_LINKS; what is beyond them is counted, as are links to nodes that are not there.

import { type JsonDocument, Kind } from '../json';
import type { Work } from '../work';

export const MAX_NETWORK_NODES = 1000;
export const MAX_NETWORK_LINKS = 5000;

export interface NetworkNode {
  id: string;
  label: string;
}

export interface NetworkLink {
  source: number;
  target: number;
  weight: number;
}

export interface Network {
  nodes: readonly NetworkNode[];
  links: readonly NetworkLink[];
  /** Nodes and links that were left out: too many, or with an end that no node has. */
  left: number;
  /** The list of links in the document. */
  list: number;
}

const encoder = new TextEncoder();

function member(document: JsonDocument, node: number, names: readonly string[]): number {
  for (const name of names) {
    const found = document.member(node, encoder.encode(name));
    if (found >= 0) return found;
  }
  return -1;
}

const SOURCES = ['source', 'from'];
const TARGETS = ['target', 'to'];

function isScalar(document: JsonDocument, node: number): boolean {
  return node >= 0 && (document.kind(node) === Kind.string || document.kind(node) === Kind.number);
}

class Builder {
  readonly nodes: NetworkNode[] = [];
  readonly links: NetworkLink[] = [];
  left = 0;
  private readonly places = new Map<string, number>();

  add(id: string, label: string): number {
    const place = this.places.get(id);
    if (place !== undefined) return place;
    if (this.nodes.length === MAX_NETWORK_NODES) return -1;
    this.places.set(id, this.nodes.length);
    return this.nodes.push({ id, label }) - 1;
  }

  /** An end is a node's id or, if no node has that, its place in the list. */
  place(end: string): number {
    const byId = this.places.get(end);
    if (byId !== undefined) return byId;
    const index = /^\d{1,6}$/.test(end) ? Number(end) : -1;
    return index < this.nodes.length ? index : -1;
  }

  link(source: number, target: number, weight: number): void {
    if (source < 0 || target < 0 || this.links.length === MAX_NETWORK_LINKS) this.left += 1;
    else this.links.push({ source, target, weight: weight > 0 && Number.isFinite(weight) ? weight : 1 });
  }

  made(list: number): Network | null {
    return this.links.length === 0 ? null : { nodes: this.nodes, links: this.links, left: this.left, list };
  }
}

function addNode(document: JsonDocument, builder: Builder, node: number, index: number): void {
  const isObject = document.kind(node) === Kind.object;
  const id = isObject ? member(document, node, ['id', 'peer', 'name', 'key']) : node;
  const label = isObject ? member(document, node, ['label', 'name', 'title', 'id', 'peer']) : node;
  const idText = isScalar(document, id) ? document.text(id, 200) : String(index);
  if (builder.add(idText, isScalar(document, label) ? document.text(label, 200) : idText) < 0) builder.left += 1;
}

function weightOf(document: JsonDocument, link: number): number {
  const found = member(document, link, ['weight', 'value']);
  return found < 0 ? 1 : document.number(found);
}

function ends(document: JsonDocument, link: number): [string, string] | null {
  const source = member(document, link, SOURCES);
  const target = member(document, link, TARGETS);
  if (!isScalar(document, source) || !isScalar(document, target)) return null;
  return [document.text(source, 200), document.text(target, 200)];
}

function* named(document: JsonDocument, nodes: number, links: number): Work<Network | null> {
  const builder = new Builder();
  let index = 0;
  for (const node of document.children(nodes)) {
    addNode(document, builder, node, index++);
    if (index % 4096 === 0) yield;
  }
  for (const link of document.children(links)) {
    const found = ends(document, link);
    if (found) builder.link(builder.place(found[0]), builder.place(found[1]), weightOf(document, link));
    else builder.left += 1;
    if ((index += 1) % 4096 === 0) yield;
  }
  return builder.made(links);
}

function* listed(document: JsonDocument, list: number): Work<Network | null> {
  const first = list + 1;
  if (document.childCount(list) === 0 || document.kind(first) !== Kind.object || !ends(document, first)) return null;
  const builder = new Builder();
  let index = 0;
  for (const link of document.children(list)) {
    const found = ends(document, link);
    if (found) builder.link(builder.add(found[0], found[0]), builder.add(found[1], found[1]), weightOf(document, link));
    else builder.left += 1;
    if ((index += 1) % 4096 === 0) yield;
  }
  return builder.made(list);
}

export function* networkOf(document: JsonDocument, node: number): Work<Network | null> {
  if (document.kind(node) === Kind.array) return yield* listed(document, node);
  if (document.kind(node) !== Kind.object) return null;
  const nodes = member(document, node, ['nodes', 'vertices']);
  const links = member(document, node, ['links', 'edges']);
  if (nodes < 0 || links < 0 || document.kind(nodes) !== Kind.array || document.kind(links) !== Kind.array) return null;
  return yield* named(document, nodes, links);
}
