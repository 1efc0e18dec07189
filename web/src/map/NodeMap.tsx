import '../results/results.css';
import './map.css';

import { lazy, Suspense, useMemo, useState } from 'react';

import { Tabs } from '../ui/kit';
import { GraphTab } from './GraphTab';
import type { Peer, Topology } from '../data/model';
import { buildModel } from './model';
import type { Places } from './places';
import { type Activity, usePulses } from './pulses';
import { TableTab } from './TableTab';

const WorldTab = lazy(() => import('./WorldTab'));

export interface NodeMapProps {
  topology: Topology;
  peers: readonly Peer[];
  /** What peers did lately; what is new in it makes their links pulse. */
  activity: readonly Activity[];
  places?: Places;
}

type TabId = 'graph' | 'world' | 'table';

const TABS: readonly (readonly [TabId, string])[] = [
  ['graph', 'Network'],
  ['world', 'World'],
  ['table', 'Table'],
];

const NOWHERE: Places = {};

export function NodeMap({ topology, peers, activity, places = NOWHERE }: NodeMapProps) {
  const [tab, setTab] = useState<TabId>('graph');
  const model = useMemo(() => buildModel(topology, peers), [topology, peers]);
  const pulses = usePulses(activity);
  return (
    <section className="rv nm" aria-label="Nodes of the mesh">
      <Tabs label="Views of the mesh" tabs={TABS} value={tab} onValue={setTab}>
        {tab === 'graph' && <GraphTab model={model} pulses={pulses} />}
        {tab === 'table' && <TableTab model={model} />}
        {tab === 'world' && (
          <Suspense fallback={<p role="status">Loading the world</p>}>
            <WorldTab model={model} places={places} />
          </Suspense>
        )}
      </Tabs>
    </section>
  );
}

export default NodeMap;
