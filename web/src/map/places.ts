// Where peers say that they are. They may say anything: what is no place on Earth is dropped.

export interface StatedPlace {
  lat: number;
  lon: number;
}

export type Places = Readonly<Record<string, StatedPlace>>;

export interface Spot {
  lat: number;
  lon: number;
  peers: string[];
}

export function isPlace({ lat, lon }: StatedPlace): boolean {
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180;
}

/** Peers that are close together on a map of this fineness share a spot. */
export function spotsOf(places: Places, peers: readonly string[], degrees = 2): Spot[] {
  const spots = new Map<string, Spot>();
  for (const peer of peers) {
    const place = Object.hasOwn(places, peer) ? places[peer] : undefined;
    if (!place || !isPlace(place)) continue;
    const key = `${Math.round(place.lat / degrees)},${Math.round(place.lon / degrees)}`;
    const spot = spots.get(key);
    if (spot) spot.peers.push(peer);
    else spots.set(key, { ...place, peers: [peer] });
  }
  return [...spots.values()];
}
