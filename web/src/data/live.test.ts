import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeSource, event, job, shard } from '../testing';
import { Live, readingPause } from './live';
import type { State } from './state';
import { initialState } from './state';
import { Store } from './store';

let source: FakeSource;
let store: Store<State>;
let live: Live;
let frames: (() => void)[];
const errors: unknown[] = [];
const settle = () => vi.advanceTimersByTimeAsync(0);
const frame = async () => {
  await settle();
  for (const callback of frames.splice(0)) callback();
  await settle();
};

beforeEach(() => {
  vi.useFakeTimers();
  source = new FakeSource();
  source.allJobs = [job()];
  source.allShards = [0, 1, 2, 3].map((number) => shard(number));
  store = new Store(initialState);
  frames = [];
  errors.length = 0;
  live = new Live(
    source,
    store,
    (error) => errors.push(error),
    (callback) => frames.push(callback),
  );
  live.start();
});
afterEach(() => {
  live.stop();
  vi.useRealTimers();
});

describe('Live', () => {
  it('reads everything once the stream is open, so that nothing falls between', async () => {
    await settle();
    expect(source.calls).toEqual([]);
    source.connect('open');
    await settle();
    expect(source.calls).toEqual(expect.arrayContaining(['node', 'jobs', 'peers']));
    expect(store.get().order).toEqual(['bafyjob']);
  });
  it('applies all events of a frame together', async () => {
    source.connect('open');
    await settle();
    let renders = 0;
    store.subscribe(() => ++renders);
    source.send(...Array.from({ length: 100 }, (_, i) => event(i + 1, 'node.network')));
    await settle();
    expect(renders).toBe(0);
    await frame();
    expect(renders).toBe(1);
    expect(store.get().activity).toHaveLength(100);
  });
  it('reads a job again after its events, once for many', async () => {
    source.connect('open');
    await settle();
    source.calls.length = 0;
    source.allJobs = [job({ finished: 4 })];
    for (let i = 1; i <= 5; ++i) {
      source.send(event(i, 'job.note', { job: 'bafyjob', text: 'x' }));
      await frame();
    }
    expect(source.calls).toEqual(['job bafyjob']);
    await vi.advanceTimersByTimeAsync(readingPause);
    expect(source.calls).toEqual(['job bafyjob', 'job bafyjob']);
    expect(store.get().jobs.get('bafyjob')?.finished).toBe(4);
    await vi.advanceTimersByTimeAsync(100 * readingPause);
    expect(source.calls).toHaveLength(2);
  });
  it('reads everything anew after a gap, the opened job included', async () => {
    source.connect('open');
    await settle();
    const close = live.open('bafyjob');
    await vi.advanceTimersByTimeAsync(4 * readingPause);
    source.calls.length = 0;
    source.send({ kind: 'gap', seq: 77 });
    await frame();
    await vi.advanceTimersByTimeAsync(readingPause);
    expect(source.calls).toEqual(expect.arrayContaining(['node', 'jobs', 'peers', 'job bafyjob', 'shards bafyjob 0']));
    expect(store.get().lastSeq).toBe(77);
    close();
    expect(store.get().details.size).toBe(0);
  });
  it('says that the node was started again, and reads everything', async () => {
    source.connect('open');
    await vi.advanceTimersByTimeAsync(readingPause);
    source.connect('lost');
    expect(store.get().connection).toBe('lost');
    await vi.advanceTimersByTimeAsync(2 * readingPause);
    source.boot = 2;
    source.calls.length = 0;
    source.connect('open');
    await vi.advanceTimersByTimeAsync(2 * readingPause);
    expect(store.get().restartedAt).not.toBeNull();
    expect(source.calls).toContain('jobs');
  });
  it('tells of a reading that failed, and goes on', async () => {
    source.connect('open');
    await settle();
    source.send(event(1, 'job.phase', { job: 'bafygone', phase: 'bidding' }));
    await frame();
    expect(errors.map(String)).toEqual(['Error: there is no job bafygone']);
    source.send(event(2, 'node.up'));
    await frame();
    expect(store.get().activity).toHaveLength(2);
  });
});
