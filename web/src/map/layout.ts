// Places nodes by forces: the length of a link says the round-trip time, on a log scale. The same input gives the same map:
// start positions come from the ids, and d3-force draws from a fixed seed. Nodes that have come to rest keep their place
// when others come or go, unless their own round-trip time has changed much. A map at rest computes nothing.

import {
  forceCollide,
  forceLink,
  forceManyBody,
  forceRadial,
  forceSimulation,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from 'd3-force';

import type { MapModel, MapNode } from './model';

const NEAREST = 60;
const PER_DECADE = 65;
const FARTHEST = 420;
const UNKNOWN = 260;
const APART = 460;
const SHORTEST_US = 100;
/** Peers that fit without crowding at the plain scale. */
const ROOM = 64;
const ALPHA_DECAY = 0.035;
const ALPHA_MIN = 0.005;

interface Body extends SimulationNodeDatum {
  id: string;
  x: number;
  y: number;
  radius: number;
  /** From the middle, and with that the length of the link. */
  distance: number;
  /** Was at rest when the last update came. */
  isResting: boolean;
}

type Bond = SimulationLinkDatum<Body> & { distance: number };

/** FNV-1a. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  // The last characters must reach the high bits, which decide the angle.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Steps of a third of a decade, so that jitter alone moves nothing. */
export function distanceOf(rttUs: number, isConnected: boolean): number {
  if (!isConnected) return APART;
  if (rttUs <= 0) return UNKNOWN;
  const decades = Math.log10(Math.max(SHORTEST_US, rttUs) / SHORTEST_US);
  return Math.min(FARTHEST, NEAREST + PER_DECADE * (Math.round(decades * 3) / 3));
}

export function radiusOf(node: MapNode): number {
  if (node.isSelf) return 12;
  return 5 + Math.min(7, Math.log2(1 + node.cores));
}

/** A mesh of twice as many nodes gets twice the area; in steps, since each step moves everything. */
export function spreadOf(nodes: number): number {
  return Math.sqrt(2 ** Math.ceil(Math.log2(Math.max(1, nodes / ROOM))));
}

export interface Position {
  x: number;
  y: number;
}

export class MapLayout {
  private bodies = new Map<string, Body>();
  private spread = 1;
  private readonly simulation = forceSimulation<Body, Bond>()
    .alphaDecay(ALPHA_DECAY)
    .alphaMin(ALPHA_MIN)
    .alpha(0)
    .stop();

  /** Takes the nodes and links as they are now; only what changes a place sets it in motion. */
  update(model: MapModel): void {
    const spread = spreadOf(model.nodes.length);
    const isWider = spread !== this.spread;
    const wasAtRest = this.isAtRest;
    this.spread = spread;
    const before = this.bodies;
    this.bodies = new Map();
    let moves = isWider || (!wasAtRest && before.size > 0);
    for (const node of model.nodes) {
      const body = before.get(node.id) ?? this.placed(node);
      moves = this.renew(body, node, { isNew: !before.has(node.id), wasAtRest, isWider }) || moves;
      this.bodies.set(node.id, body);
    }
    this.setForces(model);
    if (moves) this.simulation.alpha(1);
  }

  private placed(node: MapNode): Body {
    const angle = (hashOf(node.id) / 2 ** 32) * 2 * Math.PI;
    const distance = distanceOf(node.rttUs, node.isConnected) * this.spread;
    const at = node.isSelf ? 0 : distance;
    return { id: node.id, x: at * Math.cos(angle), y: at * Math.sin(angle), radius: 0, distance, isResting: false };
  }

  /** True if the body has to find a place. */
  private renew(body: Body, node: MapNode, seen: { isNew: boolean; wasAtRest: boolean; isWider: boolean }): boolean {
    const distance = distanceOf(node.rttUs, node.isConnected) * this.spread;
    const isMoved = Math.abs(distance - body.distance) > (PER_DECADE / 3) * this.spread * 1.5;
    body.radius = radiusOf(node);
    body.isResting = node.isSelf || (!seen.isNew && seen.wasAtRest && !isMoved && !seen.isWider);
    if (isMoved || !body.isResting) body.distance = distance;
    body.fx = node.isSelf ? 0 : body.isResting ? body.x : null;
    body.fy = node.isSelf ? 0 : body.isResting ? body.y : null;
    return !body.isResting;
  }

  private setForces(model: MapModel): void {
    const bodies = [...this.bodies.values()];
    const bonds = model.links.flatMap(({ source, target, rttUs }): Bond[] => {
      const [from, to] = [this.bodies.get(source), this.bodies.get(target)];
      return from && to ? [{ source: from, target: to, distance: distanceOf(rttUs, true) * this.spread }] : [];
    });
    this.simulation
      .nodes(bodies)
      .force(
        'link',
        forceLink<Body, Bond>(bonds)
          .distance((bond) => bond.distance)
          .strength(0.4),
      )
      .force('charge', forceManyBody<Body>().strength(-60).distanceMax(250))
      .force(
        'collide',
        forceCollide<Body>((body) => body.radius + 4),
      )
      .force('radial', forceRadial<Body>((body) => body.distance, 0, 0).strength(0.3));
  }

  get isAtRest(): boolean {
    return this.simulation.alpha() < ALPHA_MIN;
  }

  /** One step towards rest; false when there is none to take. */
  tick(): boolean {
    if (this.isAtRest) return false;
    this.simulation.tick();
    return !this.isAtRest;
  }

  settle(): void {
    while (this.tick());
  }

  /** Forgets all places, so that the next update finds them anew. */
  clear(): void {
    this.bodies = new Map();
    this.simulation.alpha(0);
  }

  position(id: string): Position {
    const body = this.bodies.get(id);
    return body ? { x: body.x, y: body.y } : { x: 0, y: 0 };
  }

  /** How far from the middle anything lies or wants to lie. */
  get reach(): number {
    let reach = NEAREST;
    for (const { x, y, distance } of this.bodies.values()) reach = Math.max(reach, distance, Math.hypot(x, y));
    return reach;
  }
}
