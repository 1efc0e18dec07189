import { describe, expect, it } from 'vitest';

import { distanceOf, MapLayout } from './layout';
import type { Peer } from '../data/model';
import { buildModel, type MapModel } from './model';
import { meshOf, SELF, topologyOf } from './testing';

function modelOf(peers: readonly Peer[]): MapModel {
  return buildModel(topologyOf(peers), peers);
}

function settled(model: MapModel): MapLayout {
  const layout = new MapLayout();
  layout.update(model);
  layout.settle();
  return layout;
}

const placesOf = (layout: MapLayout, peers: readonly Peer[]) => peers.map(({ peer }) => layout.position(peer));

describe('MapLayout', () => {
  it('gives the same places for the same mesh, in whatever order it is told', () => {
    const { peers } = meshOf(50);
    const one = settled(modelOf(peers));
    const other = settled(modelOf([...peers].reverse()));
    expect(placesOf(one, peers)).toEqual(placesOf(other, peers));
  });

  it('keeps all places when a peer comes and when one goes', () => {
    const { peers } = meshOf(30);
    const layout = settled(modelOf(peers.slice(1)));
    const before = placesOf(layout, peers.slice(1));
    layout.update(modelOf(peers));
    expect(layout.isAtRest).toBe(false);
    layout.settle();
    expect(placesOf(layout, peers.slice(1))).toEqual(before);
    layout.update(modelOf(peers.slice(5)));
    layout.settle();
    expect(placesOf(layout, peers.slice(5))).toEqual(placesOf(layout, peers).slice(5));
    expect(placesOf(layout, peers.slice(5))).toEqual(before.slice(4));
  });

  it('rests when nothing that matters changes, and when a peer goes', () => {
    const { peers } = meshOf(20);
    const layout = settled(modelOf(peers));
    expect(layout.tick()).toBe(false);
    layout.update(modelOf(peers.map((peer) => ({ ...peer, rtt_us: Math.round(peer.rtt_us * 1.05) }))));
    expect(layout.isAtRest).toBe(true);
    layout.update(modelOf(peers.slice(1)));
    expect(layout.isAtRest).toBe(true);
  });

  it('moves a peer whose round trip has changed much, and no other', () => {
    const { peers } = meshOf(20);
    const layout = settled(modelOf(peers));
    const before = placesOf(layout, peers);
    const farther = peers.map((peer, i) => (i === 3 ? { ...peer, rtt_us: peer.rtt_us * 100 } : peer));
    layout.update(modelOf(farther));
    layout.settle();
    const after = placesOf(layout, peers);
    expect(after[3]).not.toEqual(before[3]);
    expect(after.filter((_, i) => i !== 3)).toEqual(before.filter((_, i) => i !== 3));
  });

  it('puts this node in the middle and what is nearer nearer', () => {
    const { peers } = meshOf(40);
    const layout = settled(modelOf(peers));
    expect(layout.position(SELF)).toEqual({ x: 0, y: 0 });
    const far = (peer: Peer) => Math.hypot(layout.position(peer.peer).x, layout.position(peer.peer).y);
    const mean = (list: readonly Peer[]) => list.reduce((sum, peer) => sum + far(peer), 0) / list.length;
    const byTime = [...peers].sort((a, b) => a.rtt_us - b.rtt_us);
    expect(mean(byTime.slice(0, 10))).toBeLessThan(mean(byTime.slice(-10)) / 1.5);
  });

  it('lays no node over another', () => {
    const { peers } = meshOf(50);
    const places = placesOf(settled(modelOf(peers)), peers);
    places.forEach((a, i) =>
      places.slice(i + 1).forEach((b) => expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThan(8)),
    );
  });

  it('has finite places for whatever a peer claims', () => {
    const { peers } = meshOf(5);
    const strange = peers.map((peer, i) => ({
      ...peer,
      rtt_us: [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e308, 0][i]!,
      resources: { ...peer.resources!, cores: [1e308, -5, Number.NaN, 0, Number.POSITIVE_INFINITY][i]! },
    }));
    const layout = settled(modelOf(strange));
    for (const { x, y } of placesOf(layout, strange)) expect(Number.isFinite(x) && Number.isFinite(y)).toBe(true);
  });
});

describe('distanceOf', () => {
  it('grows with the log of the round trip, within bounds', () => {
    const distances = [0, 10, 1000, 10_000, 100_000, 1e12].map((us) => distanceOf(us, true));
    expect(distances.slice(1)).toEqual([...distances.slice(1)].sort((a, b) => a - b));
    expect(distanceOf(10_000, true) - distanceOf(1000, true)).toBeCloseTo(65);
    expect(distanceOf(1000, false)).toBeGreaterThan(distanceOf(1e12, true));
  });
});
