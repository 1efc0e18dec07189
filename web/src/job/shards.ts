// Counting a job's shards: by state, and by the node that runs or verifies them. Pure, linear in the shards.
import type { Shard } from '../data/model';

export interface NodeShare {
  readonly peer: string;
  running: number;
  finished: number;
  failed: number;
  verifies: number;
}

export function countStates(shards: readonly (Shard | undefined)[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const shard of shards) {
    const state = shard?.state ?? 'unread';
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return counts;
}

export function sharesOf(shards: readonly (Shard | undefined)[]): NodeShare[] {
  const shares = new Map<string, NodeShare>();
  const of = (peer: string): NodeShare => {
    let share = shares.get(peer);
    if (!share) shares.set(peer, (share = { peer, running: 0, finished: 0, failed: 0, verifies: 0 }));
    return share;
  };
  for (const shard of shards) {
    if (!shard) continue;
    if (shard.worker) {
      const share = of(shard.worker);
      if (shard.decision === null) ++share.running;
      else ++share.finished;
      if (shard.outcome && !shard.outcome.succeeded) ++share.failed;
    }
    for (const seat of shard.seats) ++of(seat.peer).verifies;
  }
  return [...shares.values()].sort(
    (a, b) => b.finished + b.running - a.finished - a.running || (a.peer < b.peer ? -1 : 1),
  );
}

export interface ShardFilter {
  readonly state: string; // empty: every one
  readonly peer: string; // empty: every one
  readonly failedOnly: boolean;
}

export function filterShards(shards: readonly (Shard | undefined)[], filter: ShardFilter): Shard[] {
  return shards.filter((shard): shard is Shard => {
    if (!shard) return false;
    if (filter.state !== '' && shard.state !== filter.state) return false;
    if (filter.failedOnly && (shard.outcome === null || shard.outcome.succeeded)) return false;
    if (filter.peer === '') return true;
    return shard.worker === filter.peer || shard.seats.some((seat) => seat.peer === filter.peer);
  });
}
