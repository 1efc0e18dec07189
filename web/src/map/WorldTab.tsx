import { geoGraticule10, geoNaturalEarth1, geoPath } from 'd3-geo';
import { useId, useMemo, useState } from 'react';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology as Topojson } from 'topojson-specification';
import atlas from 'world-atlas/countries-110m.json';

import { plural } from '../lib/format';
import { printableLine } from '../results/printable';
import type { MapModel } from './model';
import { shortName, timeText } from './model';
import { type Places, type Spot, spotsOf } from './places';

const WIDTH = 900;
const HEIGHT = 460;

type Atlas = Topojson<{ countries: GeometryCollection; land: GeometryCollection }>;

// TypeScript reads the file's words as strings and its pairs as lists.
const WORLD = atlas as unknown as Atlas;

function project() {
  const projection = geoNaturalEarth1().fitSize([WIDTH, HEIGHT], { type: 'Sphere' });
  const path = geoPath(projection).digits(1);
  return {
    projection,
    sphere: path({ type: 'Sphere' }) ?? '',
    graticule: path(geoGraticule10()) ?? '',
    land: path(feature(WORLD, WORLD.objects.land)) ?? '',
    borders: path(mesh(WORLD, WORLD.objects.countries, (a, b) => a !== b)) ?? '',
  };
}

function spotText(spot: Spot, model: MapModel): string {
  const names = spot.peers.slice(0, 5).map((peer) => {
    const node = model.nodes.find(({ id }) => id === peer);
    return `${shortName(peer)}${node && !node.isSelf ? ` (${timeText(node.rttUs)})` : ''}`;
  });
  const more = spot.peers.length > names.length ? ' and others' : '';
  return `${spot.lat.toFixed(1)}°, ${spot.lon.toFixed(1)}°: ${names.join(', ')}${more}`;
}

export default function WorldTab({ model, places }: { model: MapModel; places: Places }) {
  const [active, setActive] = useState<Spot | null>(null);
  const title = useId();
  const world = useMemo(() => project(), []);
  const spots = useMemo(
    () =>
      spotsOf(
        places,
        model.nodes.map(({ id }) => id),
      ),
    [places, model],
  );
  const placed = spots.reduce((sum, spot) => sum + spot.peers.length, 0);
  return (
    <div className="nm-world">
      {placed === 0 ? (
        <p className="rv-note">No peer states a place, so the map is empty.</p>
      ) : (
        <p className="rv-note">{plural(placed, 'node states', 'nodes state')} a place. Nobody has checked it.</p>
      )}
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="group" aria-labelledby={title}>
        <title id={title}>World map of the places that nodes state</title>
        <path d={world.sphere} className="nm-sea" />
        <path d={world.graticule} className="nm-graticule" />
        <path d={world.land} className="nm-land" />
        <path d={world.borders} className="nm-borders" />
        {spots.map((spot) => {
          const at = world.projection([spot.lon, spot.lat]);
          if (!at) return null;
          const text = printableLine(spotText(spot, model), 300);
          return (
            <g
              key={spot.peers[0]}
              transform={`translate(${at[0].toFixed(1)},${at[1].toFixed(1)})`}
              tabIndex={0}
              role="img"
              aria-label={text}
              onFocus={() => setActive(spot)}
              onPointerEnter={() => setActive(spot)}
            >
              <circle r={5 + Math.min(12, 2 * Math.log2(spot.peers.length))} className="nm-spot" />
              {spot.peers.length > 1 && (
                <text y={4} textAnchor="middle">
                  {spot.peers.length}
                </text>
              )}
            </g>
          );
        })}
      </svg>
      <p className="rv-note">
        <bdi>{active ? printableLine(spotText(active, model), 300) : '\u00a0'}</bdi>
      </p>
    </div>
  );
}
