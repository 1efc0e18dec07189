import { describe, expect, it } from 'vitest';

import { buildModel, drawnPart, factsOf, loadOf, type MapNode, timeText } from './model';
import { isPlace, spotsOf } from './places';
import { activityKeys, freshActivity } from './pulses';
import { sortedNodes } from './TableTab';
import { meshOf, SELF, topologyOf } from './testing';

const only = (nodes: readonly MapNode[]) => nodes.find((node) => !node.isSelf)!;

describe('buildModel', () => {
  it('joins what the topology and the list of peers say', () => {
    const { peers } = meshOf(2);
    const gone = { ...peers[1]!, connected: false, resources: null };
    const { nodes, links } = buildModel(topologyOf(peers.slice(0, 1)), [peers[0]!, gone]);
    expect(nodes).toHaveLength(3);
    expect(links).toHaveLength(1);
    expect(nodes.find(({ id }) => id === gone.peer)).toMatchObject({
      isConnected: false,
      isKnown: false,
      found: 'kademlia',
    });
    expect(nodes.find(({ id }) => id === SELF)).toMatchObject({ isSelf: true, found: 'self' });
  });

  it('takes numbers that a peer cannot mean for none', () => {
    const { peers } = meshOf(1);
    const [peer] = peers;
    const strange = {
      ...peer!,
      resources: { ...peer!.resources!, cores: Number.NaN, running: -3, queued: Number.POSITIVE_INFINITY },
    };
    const node = only(buildModel(topologyOf([strange]), [strange]).nodes);
    expect([node.cores, node.running, node.queued]).toEqual([0, 0, 0]);
    expect(loadOf(node)).toBe(0);
  });

  it('makes names and lists of strangers printable and short', () => {
    const { peers } = meshOf(1);
    const hostile = { ...peers[0]!, agent: `\u202e${'x'.repeat(5000)}`, address: '\u001b]0;title\u0007' };
    hostile.resources = { ...hostile.resources!, gpus: Array.from({ length: 1000 }, () => '\u2066GPU') };
    const node = only(buildModel(topologyOf([hostile]), [hostile]).nodes);
    expect(node.agent.length).toBeLessThan(80);
    expect(node.agent.startsWith('⟨U+202E⟩')).toBe(true);
    expect(node.address).toBe('␛]0;title␇');
    expect(node.gpus).toHaveLength(16);
    expect(factsOf(node).flat().join()).not.toMatch(/[\u202a-\u202e\u2066-\u2069\u001b]/);
  });

  it('drops links to nodes that are not there, to oneself, and second nodes of one name', () => {
    const topology = topologyOf(meshOf(1).peers);
    topology.links.push({ source: SELF, target: 'nobody', transport: 'tcp', rtt_us: 1 });
    topology.links.push({ source: SELF, target: SELF, transport: 'tcp', rtt_us: 1 });
    topology.nodes.push(topology.nodes[0]!);
    const { nodes, links } = buildModel(topology, []);
    expect([nodes.length, links.length]).toEqual([2, 1]);
  });
});

describe('drawnPart', () => {
  it('keeps this node and the nearest', () => {
    const mesh = meshOf(100);
    const part = drawnPart(buildModel(mesh.topology, mesh.peers), 11);
    expect(part.nodes).toHaveLength(11);
    expect(part.links).toHaveLength(10);
    const nearest = [...mesh.peers].sort((a, b) => a.rtt_us - b.rtt_us).slice(0, 10);
    expect(new Set(part.nodes.map(({ id }) => id))).toEqual(new Set([SELF, ...nearest.map(({ peer }) => peer)]));
  });
});

describe('sortedNodes', () => {
  it('sorts by round trip with this node first and what was not measured last', () => {
    const { peers } = meshOf(5);
    const model = buildModel(topologyOf(peers), peers);
    const nodes = model.nodes.map((node, i) => (i === 2 && !node.isSelf ? { ...node, rttUs: 0 } : node));
    const sorted = sortedNodes(nodes, { column: 2, isDescending: false });
    expect(sorted[0]?.isSelf).toBe(true);
    expect(sorted.slice(1, -1).map((node) => node.rttUs)).toEqual(
      sorted
        .slice(1, -1)
        .map((node) => node.rttUs)
        .sort((a, b) => a - b),
    );
    expect(sorted.at(-1)?.rttUs).toBe(0);
    expect(sortedNodes(nodes, { column: 2, isDescending: true })[0]?.rttUs).toBe(0);
  });
});

describe('timeText', () => {
  it.each([
    [0, 'not measured'],
    [250, '250 µs'],
    [1500, '1.50 ms'],
    [123_456, '123 ms'],
    [2_500_000, '2.5 s'],
  ])('writes %i as %s', (us, text) => expect(timeText(us)).toBe(text));
});

describe('places', () => {
  it('drops what is no place on Earth', () => {
    const stated = {
      a: { lat: 91, lon: 0 },
      b: { lat: Number.NaN, lon: 0 },
      c: { lat: 0, lon: -181 },
      d: { lat: -90, lon: 180 },
    };
    expect(Object.values(stated).map(isPlace)).toEqual([false, false, false, true]);
    expect(spotsOf(stated, ['a', 'b', 'c', 'd', 'toString']).map((spot) => spot.peers)).toEqual([['d']]);
  });

  it('puts peers of one city into one spot', () => {
    const places = { a: { lat: 48.1, lon: 11.5 }, b: { lat: 48.2, lon: 11.6 }, c: { lat: 40.7, lon: -74 } };
    expect(spotsOf(places, ['a', 'b', 'c']).map((spot) => spot.peers)).toEqual([['a', 'b'], ['c']]);
  });
});

describe('freshActivity', () => {
  const one = { peer: 'a', time: '2026-01-01T00:00:00Z', kind: 'run' };
  const two = { peer: 'b', time: 5, kind: 'run' };

  it('is what the list before did not have; the first list is all old', () => {
    expect(freshActivity(null, [one])).toEqual([]);
    expect(freshActivity(activityKeys([one]), [one, two])).toEqual([two]);
    expect(freshActivity(activityKeys([one, two]), [two])).toEqual([]);
  });
});
