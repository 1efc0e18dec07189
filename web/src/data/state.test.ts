import { describe, expect, it } from 'vitest';
import { event, job, peers, shard } from '../testing';
import type { State } from './state';
import {
  initialState,
  maxActivity,
  maxMoments,
  shardsOf,
  withDetail,
  withEvents,
  withGap,
  withJob,
  withJobs,
  withNode,
  withPastOf,
  withShards,
} from './state';
import type { NodeInfo } from './model';

const opened = (): State => {
  const state = withDetail(withJobs(initialState, [job()]), 'bafyjob');
  return withShards(
    state,
    'bafyjob',
    [0, 1, 2, 3].map((number) => shard(number)),
  );
};
const states = (state: State) => state.details.get('bafyjob')?.shards.map((one) => one?.state);
const about = (shards: number[][], part = {}) => ({ job: 'bafyjob', peer: peers[0], shards, ...part });

describe('withEvents', () => {
  it('moves shards on, and leaves the old state as it was', () => {
    const before = opened();
    const [running] = withEvents(before, [event(1, 'job.award', about([[0, 3]]))]);
    expect(states(running)).toEqual(['running', 'running', 'running', 'waiting']);
    const [decided, stale] = withEvents(running, [
      event(2, 'job.committed', about([[0, 1]])),
      event(3, 'job.shard', about([[1, 1]], { phase: 'verifying', text: 'accepted by 3 of 3' })),
      event(4, 'job.shard', about([[2, 1]], { phase: 'running', text: 'too slow; awarded again' })),
    ]);
    expect(states(decided)).toEqual(['committed', 'accepted', 'waiting', 'waiting']);
    expect(decided.details.get('bafyjob')?.shards[2]?.worker).toBeNull();
    expect(stale.jobs).toEqual(new Set(['bafyjob']));
    expect(stale.shardPages.get('bafyjob')).toEqual(new Set([0]));
    expect(states(before)).toEqual(['waiting', 'waiting', 'waiting', 'waiting']);
  });
  it('takes each event once, in the order of their numbers', () => {
    const award = event(1, 'job.award', about([[0, 1]]));
    const accepted = event(2, 'job.shard', about([[0, 1]], { phase: 'verifying', text: 'accepted' }));
    const [state] = withEvents(opened(), [accepted, award, accepted]);
    expect(states(state)?.[0]).toBe('accepted');
    expect(state.details.get('bafyjob')?.moments.map((one) => one.seq)).toEqual([1, 2]);
    const [again] = withEvents(state, [award, accepted]);
    expect(again).toBe(state);
  });
  it('knows each decision, and puts back what is run again', () => {
    const decide = (text: string) =>
      states(withEvents(opened(), [event(1, 'job.shard', about([[0, 1]], { phase: 'verifying', text }))])[0])?.[0];
    for (const word of ['accepted', 'unverified', 'undetermined', 'spot_checked'])
      expect(decide(`${word} by 2`)).toBe(word);
    for (const word of ['rejected', 'disputed', 'no decision']) expect(decide(word)).toBe('waiting');
  });
  it('ends a job, and never brings it back', () => {
    const [done] = withEvents(opened(), [event(1, 'job.done', { job: 'bafyjob', phase: 'failed' })]);
    expect(done.jobs.get('bafyjob')).toMatchObject({ phase: 'failed', ended: true });
    const [late] = withEvents(done, [event(2, 'job.phase', { job: 'bafyjob', phase: 'running' })]);
    expect(late.jobs.get('bafyjob')?.phase).toBe('failed');
  });
  it('takes no phase that there is not, and no shard that the job has not', () => {
    const [state] = withEvents(opened(), [
      event(1, 'job.phase', { job: 'bafyjob', phase: '<script>' }),
      event(
        2,
        'job.award',
        about([
          [3, 1e9],
          [-5, 3],
          [Number.NaN, 1],
          [1e300, 2],
        ]),
      ),
    ]);
    expect(state.jobs.get('bafyjob')?.phase).toBe('running');
    expect(states(state)).toEqual(['waiting', 'waiting', 'waiting', 'running']);
  });
  it('names a job that it does not know as stale', () => {
    const [, stale] = withEvents(initialState, [event(1, 'job.phase', { job: 'bafynew', phase: 'bidding' })]);
    expect(stale.jobs).toEqual(new Set(['bafynew']));
  });
  it('keeps its bounds', () => {
    const many = Array.from({ length: maxActivity + 500 }, (_, i) =>
      event(i, 'job.note', { job: 'bafyjob', text: 'x' }),
    );
    const [state] = withEvents(opened(), many);
    expect(state.activity).toHaveLength(maxActivity);
    expect(state.details.get('bafyjob')?.moments).toHaveLength(maxMoments);
    expect(state.details.get('bafyjob')?.momentsLeftOut).toBe(maxActivity + 500 - maxMoments);
  });
  it('after a gap takes what is numbered anew', () => {
    const [state] = withEvents(initialState, [event(5 * 2 ** 32, 'node.up')]);
    const [next] = withEvents(withGap(state, 6 * 2 ** 32), [event(6 * 2 ** 32 + 1, 'node.up')]);
    expect(next.activity).toHaveLength(2);
  });
});

describe('readings', () => {
  it('put past and present events together without doubles', () => {
    const [state] = withEvents(opened(), [event(5, 'job.note', { job: 'bafyjob' })]);
    const past = [4, 5, 3].map((seq) => event(seq, 'job.note', { job: 'bafyjob' }));
    const whole = withPastOf(state, 'bafyjob', [...past, event(2, 'job.note', { job: 'other' })]);
    expect(whole.details.get('bafyjob')?.moments.map((one) => one.seq)).toEqual([3, 4, 5]);
  });
  it('do not take back an end that was told of while they were on their way', () => {
    const [told] = withEvents(initialState, [event(1, 'job.done', { job: 'bafyjob', phase: 'done' })]);
    const state = withJob(told, job({ phase: 'running', ended: false }));
    expect(state.jobs.get('bafyjob')).toMatchObject({ phase: 'done', ended: true });
    expect(withJob(told, job({ id: 'bafyother', ended: false })).jobs.get('bafyother')?.ended).toBe(false);
  });
  it('make room for the shards of a job that was not known when it was opened', () => {
    const state = withJob(withDetail(initialState, 'bafyjob'), job({ shards: 3 }));
    expect(state.details.get('bafyjob')?.shards).toHaveLength(3);
    expect(state.order).toEqual(['bafyjob']);
  });
  it('notice that the node was started again', () => {
    const first = withNode(initialState, { boot: 1 } as NodeInfo, 10);
    expect(first.restartedAt).toBeNull();
    expect(withNode(first, { boot: 2 } as NodeInfo, 20).restartedAt).toBe(20);
  });
});

describe('shardsOf', () => {
  it('reads ranges within the job', () => {
    expect(
      shardsOf(
        event(1, 'x', {
          shards: [
            [0, 2],
            [5, 9],
          ],
        }),
        7,
      ),
    ).toEqual([0, 1, 5, 6]);
    expect(shardsOf(event(1, 'x'), 7)).toEqual([]);
  });
});
