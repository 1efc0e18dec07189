// Places the nodes of a network by forces, the same for the same network: d3-force draws its numbers from a fixed seed, and
// its start positions are a spiral in the order of the nodes.

import { extent } from 'd3-array';
import {
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from 'd3-force';

import { type Label, type Labelled, placeLabels } from '../../map/labels';
import { printableLine } from '../printable';
import type { Work } from '../work';
import type { Network } from './network';
import { type Frame, MARGIN, type Scene, type ScenePoint, seriesColor } from './scene';

const TICKS = 150;

export interface Place {
  x: number;
  y: number;
}

/** Positions as the forces leave them, in units of their own. */
export function* placeNetwork(network: Network): Work<Place[]> {
  const nodes: SimulationNodeDatum[] = network.nodes.map(() => ({}));
  const links: SimulationLinkDatum<SimulationNodeDatum>[] = network.links.map(({ source, target }) => ({
    source,
    target,
  }));
  const simulation = forceSimulation(nodes)
    .force('link', forceLink(links).distance(40))
    .force('charge', forceManyBody().strength(-80).distanceMax(400))
    .force('x', forceX().strength(0.04))
    .force('y', forceY().strength(0.08))
    .stop();
  for (let tick = 0; tick < TICKS; tick += 1) {
    simulation.tick();
    yield;
  }
  return nodes.map(({ x, y }) => ({ x: x ?? 0, y: y ?? 0 }));
}

/** Makes all places fit into the frame, then zooms. */
function fitted(places: readonly Place[], frame: Frame): (place: Place) => Place {
  const [left, right] = extent(places, ({ x }) => x);
  const [top, bottom] = extent(places, ({ y }) => y);
  const room = { x: frame.width - 2 * MARGIN.left, y: frame.height - 4 * MARGIN.top };
  const scale = Math.min(room.x / Math.max(1, right! - left!), room.y / Math.max(1, bottom! - top!), 3);
  const { k, x, y } = frame.transform;
  const round = (value: number) => Math.round(value * 10) / 10;
  return (place) => ({
    x: round((frame.width / 2 + (place.x - (left! + right!) / 2) * scale) * k + x),
    y: round((frame.height / 2 + (place.y - (top! + bottom!) / 2) * scale) * k + y),
  });
}

function neighbours(network: Network): Set<number>[] {
  const found = network.nodes.map(() => new Set<number>());
  for (const { source, target } of network.links) {
    found[source]!.add(target);
    found[target]!.add(source);
  }
  return found;
}

export function networkScene(network: Network, places: readonly Place[], frame: Frame): Scene & { labels: Label[] } {
  const shown = places.map(fitted(places, frame));
  const near = neighbours(network);
  const lines = network.links.map(({ source, target }) => {
    const [from, to] = [shown[source]!, shown[target]!];
    return `M${from.x},${from.y}L${to.x},${to.y}`;
  });
  const points: ScenePoint[] = shown.map(({ x, y }, place) => ({ x, y, series: 0, place }));
  const named = shown.map(({ x, y }, i): Labelled => {
    const text = printableLine(network.nodes[i]!.label, 24);
    return { id: String(i), x, y, radius: 4, text, priority: near[i]!.size };
  });
  return {
    paths: [
      { d: lines.join(''), color: 'var(--border, #94a3b8)', role: 'line' },
      { d: shown.map(({ x, y }) => `M${x},${y}h0`).join(''), color: seriesColor(0), role: 'nodes' },
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
    labels: placeLabels(named, frame.width, frame.height).labels,
  };
}
