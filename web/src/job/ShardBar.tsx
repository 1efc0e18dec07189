import { useMemo } from 'react';
import type { Job, Shard } from '../data/model';
import { shardStates } from '../data/model';
import { count } from '../lib/format';
import { visible } from '../lib/visible';
import { countStates } from './shards';

/** A class of the style sheet; a state that is not known has none. */
const classOf = (state: string) => (shardStates.includes(state) ? `shard-${state}` : 'shard-waiting');

/** How many shards are in which state, as one bar with a legend that says the same in words. */
export function ShardBar({ job, shards }: { job: Job; shards: readonly (Shard | undefined)[] }) {
  const counts = useMemo(() => countStates(shards), [shards]);
  const unknown = [...counts.keys()].filter((state) => !shardStates.includes(state));
  const order = [...[...shardStates].reverse().filter((state) => counts.has(state)), ...unknown];
  return (
    <div className="shardbar">
      <div className="shardbar-track" aria-hidden="true">
        {order.map((state) => (
          <span key={state} className={classOf(state)} style={{ flexGrow: counts.get(state) ?? 0 }} />
        ))}
      </div>
      <p className="legend">
        {order.map((state) => (
          <span key={state}>
            <span className={`swatch ${classOf(state)}`} aria-hidden="true" /> {count(counts.get(state) ?? 0)}{' '}
            {visible(state)}
          </span>
        ))}
        {order.length === 0 && (
          <span className="muted">
            {count(job.finished)} of {count(job.shards)} shards are decided
          </span>
        )}
      </p>
    </div>
  );
}
