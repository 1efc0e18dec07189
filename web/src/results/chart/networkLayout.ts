// Places the nodes of a network by forces, the same for the same network: d3-force draws its numbers from a fixed seed, and
// its start positions are a spiral in the order of the nodes.

import {
  forceCenter,
  forceLink,
  forceManyBody,
  forceSimulation,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from 'd3-force';

import { printableLine } from '../printable';
import type { Work } from '../work';
import type { Network } from './network';
import { type Frame, MARGIN, type Scene, type ScenePoint, seriesColor } from './scene';

const TICKS = 150;
const MAX_LABELS = 60;

export interface Place {
  x: number;
  y: number;
}

/** Positions in the unit square. */
export function* placeNetwork(network: Network): Work<Place[]> {
  const nodes: SimulationNodeDatum[] = network.nodes.map(() => ({}));
  const links: SimulationLinkDatum<SimulationNodeDatum>[] = network.links.map(({ source, target }) => ({
    source,
    target,
  }));
  const simulation = forceSimulation(nodes)
    .force('link', forceLink(links).distance(40))
    .force('charge', forceManyBody().strength(-80).distanceMax(400))
    .force('center', forceCenter())
    .stop();
  for (let tick = 0; tick < TICKS; tick += 1) {
    simulation.tick();
    yield;
  }
  const xs = nodes.map((node) => node.x ?? 0);
  const ys = nodes.map((node) => node.y ?? 0);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const size = Math.max(Math.max(...xs) - left, Math.max(...ys) - top, 1);
  return nodes.map((_, i) => ({ x: (xs[i]! - left) / size, y: (ys[i]! - top) / size }));
}

function neighbours(network: Network): Set<number>[] {
  const found = network.nodes.map(() => new Set<number>());
  for (const { source, target } of network.links) {
    found[source]!.add(target);
    found[target]!.add(source);
  }
  return found;
}

export function networkScene(
  network: Network,
  places: readonly Place[],
  frame: Frame,
): Scene & { labels: (Place & { text: string })[] } {
  const size = Math.max(10, Math.min(frame.width - MARGIN.right * 4, frame.height - MARGIN.top * 4));
  const [left, top] = [(frame.width - size) / 2, (frame.height - size) / 2];
  const at = ({ x, y }: Place) => ({
    x: Math.round(((left + x * size) * frame.transform.k + frame.transform.x) * 10) / 10,
    y: Math.round(((top + y * size) * frame.transform.k + frame.transform.y) * 10) / 10,
  });
  const shown = places.map(at);
  const near = neighbours(network);
  const lines = network.links.map(({ source, target }) => {
    const [from, to] = [shown[source]!, shown[target]!];
    return `M${from.x},${from.y}L${to.x},${to.y}`;
  });
  const points: ScenePoint[] = shown.map(({ x, y }, place) => ({ x, y, series: 0, place }));
  const byDegree = points.map(({ place }) => place).sort((a, b) => near[b]!.size - near[a]!.size || a - b);
  return {
    paths: [
      { d: lines.join(''), color: 'var(--border, #94a3b8)', role: 'line' },
      { d: shown.map(({ x, y }) => `M${x},${y}h0`).join(''), color: seriesColor(0), role: 'dots' },
    ],
    points,
    ...{ xTicks: [], yTicks: [], xTitle: '', yTitle: '', legend: [] },
    describe: ({ place }) => {
      const names = [...near[place]!].slice(0, 5).map((other) => printableLine(network.nodes[other]!.label, 40));
      const more = near[place]!.size > names.length ? ', …' : '';
      return [
        printableLine(network.nodes[place]!.label, 80),
        `${near[place]!.size} linked: ${names.join(', ')}${more}`,
      ];
    },
    labels: byDegree.slice(0, MAX_LABELS).map((place) => ({
      x: shown[place]!.x,
      y: shown[place]!.y - 7,
      text: printableLine(network.nodes[place]!.label, 24),
    })),
  };
}
