// The nodes and links of the map, from what the API tells. Numbers and names that peers say of themselves are checked here
// once: all that draws may rely on finite numbers that are not negative. Bound: MAX_DRAWN; the table lists all.

import type { Peer, Schemas, Topology } from '../data/model';
import { roundTrip, shortPeer } from '../lib/format';
import { printableLine } from '../results/printable';

type Resources = Schemas['Resources'];
type TopologyLink = Schemas['TopologyLink'];

export const MAX_DRAWN = 1500;

export const FOUND_WAYS = ['mdns', 'kademlia', 'bootstrap', 'dialed', 'inbound'] as const;

export interface MapNode {
  id: string;
  name: string;
  isSelf: boolean;
  isConnected: boolean;
  agent: string;
  /** One of FOUND_WAYS, `self`, or empty. */
  found: string;
  address: string;
  transport: string;
  penalty: string;
  /** 0 where it was not measured. */
  rttUs: number;
  jitterUs: number;
  /** The peer has told what it has; without that all below are 0. */
  isKnown: boolean;
  cores: number;
  memoryMb: number;
  gpus: readonly string[];
  gpuFlops: number;
  fuelPerSecond: number;
  running: number;
  queued: number;
  acceptsWork: boolean;
  services: readonly string[];
}

export interface MapLink {
  source: string;
  target: string;
  rttUs: number;
  transport: string;
}

export interface MapModel {
  nodes: readonly MapNode[];
  links: readonly MapLink[];
}

function amount(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) && value > 0 ? Math.min(value, Number.MAX_SAFE_INTEGER) : 0;
}

function words(list: readonly string[] | undefined): string[] {
  return (list ?? []).slice(0, 16).map((one) => printableLine(one, 60));
}

function resourcesOf(resources: Resources | null) {
  return {
    isKnown: resources !== null,
    cores: amount(resources?.cores),
    memoryMb: amount(resources?.memory_mb),
    gpus: words(resources?.gpus),
    gpuFlops: amount(resources?.gpu_flops),
    fuelPerSecond: amount(resources?.fuel_per_second),
    running: amount(resources?.running),
    queued: amount(resources?.queued),
    acceptsWork: resources?.accepts_work ?? false,
    services: words(resources?.services),
  };
}

export function shortName(id: string): string {
  return printableLine(shortPeer(id), 8);
}

/** Nodes in the order of their ids, each once, and the links between them. */
export function buildModel(topology: Topology, peers: readonly Peer[]): MapModel {
  const byId = new Map(peers.map((peer) => [peer.peer, peer]));
  const linked = new Map(topology.links.map((link: TopologyLink) => [link.target, link]));
  const nodes = new Map<string, MapNode>();
  const add = (id: string, isSelf: boolean, agent: string, resources: Resources | null) => {
    if (nodes.has(id)) return;
    const peer = byId.get(id);
    const link = linked.get(id);
    nodes.set(id, {
      ...{ id, name: shortName(id), isSelf, agent: printableLine(agent, 60) },
      isConnected: isSelf || link !== undefined || (peer?.connected ?? false),
      found: isSelf ? 'self' : printableLine(peer?.found ?? '', 20),
      address: printableLine(peer?.address ?? '', 200),
      transport: printableLine(link?.transport ?? peer?.transport ?? '', 20),
      penalty: printableLine(peer?.penalty ?? '', 200),
      rttUs: amount(link?.rtt_us ?? peer?.rtt_us),
      jitterUs: amount(peer?.jitter_us),
      ...resourcesOf(resources ?? peer?.resources ?? null),
    });
  };
  for (const node of topology.nodes) add(node.peer, node.self, node.agent, node.resources);
  for (const peer of peers) add(peer.peer, false, peer.agent, peer.resources);
  const links = topology.links
    .filter(({ source, target }: TopologyLink) => source !== target && nodes.has(source) && nodes.has(target))
    .map(({ source, target, rtt_us, transport }: TopologyLink) => ({
      ...{ source, target, rttUs: amount(rtt_us), transport: printableLine(transport, 20) },
    }));
  // Forces are summed in this order, and the last digits of a sum depend on it.
  links.sort((a, b) => compare(a.source, b.source) || compare(a.target, b.target));
  return { nodes: [...nodes.values()].sort(byIdOrder), links };
}

export function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : Number(a > b);
}

function byIdOrder(a: MapNode, b: MapNode): number {
  return compare(a.id, b.id);
}

/** What is drawn of a very large mesh: this node, then the connected ones and the nearest. */
export function drawnPart(model: MapModel, most = MAX_DRAWN): MapModel {
  if (model.nodes.length <= most) return model;
  const distance = (node: MapNode) => (node.isSelf ? -1 : node.isConnected ? node.rttUs || 1e12 : 1e13);
  const kept = new Set([...model.nodes].sort((a, b) => distance(a) - distance(b) || byIdOrder(a, b)).slice(0, most));
  const ids = new Set([...kept].map((node) => node.id));
  return {
    nodes: model.nodes.filter((node) => kept.has(node)),
    links: model.links.filter(({ source, target }) => ids.has(source) && ids.has(target)),
  };
}

export function timeText(us: number): string {
  return us === 0 ? 'not measured' : roundTrip(us);
}

/** Shards that run, as a share of the cores; more than all of them is all. */
export function loadOf(node: MapNode): number {
  return node.cores === 0 ? 0 : Math.min(1, node.running / node.cores);
}

/** What is known of a node, as names and values. */
export function factsOf(node: MapNode): [string, string][] {
  const facts: [string, string][] = [
    ['Peer', printableLine(node.id, 100)],
    ['Round trip', node.isSelf ? 'this node' : timeText(node.rttUs)],
    ['Found', node.found === '' ? 'not known' : node.found],
    ['State', node.isConnected ? 'connected' : 'not connected'],
  ];
  if (node.transport !== '') facts.push(['Transport', node.transport]);
  if (node.address !== '') facts.push(['Address', node.address]);
  if (node.agent !== '') facts.push(['Program', node.agent]);
  if (node.penalty !== '') facts.push(['Penalty', node.penalty]);
  if (!node.isKnown) return [...facts, ['Resources', 'not told yet']];
  facts.push(['Cores', String(node.cores)], ['Memory', `${(node.memoryMb / 1024).toFixed(1)} GiB`]);
  if (node.gpus.length > 0) facts.push(['GPUs', node.gpus.join(', ')]);
  facts.push(['Load', `${node.running} running, ${node.queued} queued`]);
  facts.push(['Work', node.acceptsWork ? 'takes work' : 'takes no work']);
  if (node.services.length > 0) facts.push(['Services', node.services.join(', ')]);
  return facts;
}
