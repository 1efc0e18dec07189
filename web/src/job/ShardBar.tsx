import { useMemo } from 'react';
import type { Job, Shard } from '../data/model';
import { shardStates } from '../data/model';
import { count } from '../lib/format';
import { countStates } from './shards';

/** How many shards are in which state, as one bar with a legend that says the same in words. */
export function ShardBar({ job, shards }: { job: Job; shards: readonly (Shard | undefined)[] }) {
  const counts = useMemo(() => countStates(shards), [shards]);
  const order = [...shardStates].reverse().filter((state) => counts.has(state));
  return (
    <div className="shardbar">
      <div className="shardbar-track" aria-hidden="true">
        {order.map((state) => (
          <span key={state} className={`shard-${state}`} style={{ flexGrow: counts.get(state) ?? 0 }} />
        ))}
      </div>
      <p className="legend">
        {order.map((state) => (
          <span key={state}>
            <span className={`swatch shard-${state}`} aria-hidden="true" /> {count(counts.get(state) ?? 0)} {state}
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
