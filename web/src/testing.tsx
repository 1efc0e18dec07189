// For tests: jobs, shards and events as a node gives them, and a session around a page.
import { Mesh } from 'meshwork';
import type { ReactNode } from 'react';
import { vi } from 'vitest';
import { SessionValue } from './app/session';
import type { Session } from './app/session';
import { Live } from './data/live';
import type { Source, StreamItem } from './data/live';
import type { Connection, Job, MeshEvent, NodeInfo, Shard } from './data/model';
import type { State } from './data/state';
import { initialState } from './data/state';
import { Store } from './data/store';

export const peers = [
  '12D3KooWHt2RbxecrLb2GKCZVST5EAjvPsB9V5m2CmddziwKMv9a',
  '12D3KooWHnH5kken2fv82eZpizXweuBizNyYaguF9vGAfKk6uHvN',
] as const;

export function job(part: Partial<Job> = {}): Job {
  return {
    ...{ id: 'bafyjob', label: 'words', phase: 'running', ended: false, failure: '', unverified: false, shards: 4 },
    ...{ finished: 0, running: 4, verifying: 0, failed_outcomes: 0, function: 'bafyf', inputs: 'bafyi', reduce: null },
    ...{ reduce_job: null, result: null, fee: 0, verifiers: null, value: 0, sample_per_mille: 1000, sealed: false },
    ...{ checked: 0, caught: [], fuel: 0, created: '2026-01-01T00:00:00.000Z', elapsed_ms: null, bid_window_ms: 0 },
    scope: { memory_mb: 512, fuel: 200e9, gpu_flops: 0, io_mb: 64 },
    limits: { fetch_ms: 60000, run_ms: 600000, nonce_ms: 2000, reveal_ms: 10000, total_ms: 3600000 },
    notes: [],
    escrow: null,
    ...part,
  };
}

export function shard(number: number, part: Partial<Shard> = {}): Shard {
  return {
    ...{ shard: number, state: 'waiting', worker: null, decision: null, contribution: 0, result: null, log: null },
    ...{ fuel: null, outcome: null, summary: null, seats: [], story: [] },
    ...part,
  };
}

export function event(seq: number, kind: string, part: Partial<MeshEvent> = {}): MeshEvent {
  return { seq, time: new Date(1767225600000 + seq).toISOString(), kind, ...part };
}

export class FakeSource implements Source {
  readonly calls: string[] = [];
  allJobs: Job[] = [];
  allShards: Shard[] = [];
  boot = 1;
  private watcher: (connection: Connection) => void = () => undefined;
  private queue: StreamItem[] = [];
  private wake: () => void = () => undefined;

  async node(): Promise<NodeInfo> {
    this.calls.push('node');
    return { boot: this.boot, peer: peers[0], started: '2026-01-01T00:00:00.000Z', ready: true } as NodeInfo;
  }
  async jobs() {
    this.calls.push('jobs');
    return this.allJobs;
  }
  async job(id: string) {
    this.calls.push(`job ${id}`);
    const found = this.allJobs.find((one) => one.id === id);
    if (!found) throw new Error(`there is no job ${id}`);
    return found;
  }
  async shards(id: string, first: number, count: number) {
    this.calls.push(`shards ${id} ${first}`);
    return this.allShards.slice(first, first + count);
  }
  async peers() {
    this.calls.push('peers');
    return [];
  }
  async topology() {
    return { nodes: [], links: [] };
  }
  async transfers() {
    return [];
  }
  watchConnection(callback: (connection: Connection) => void) {
    this.watcher = callback;
    return () => undefined;
  }
  connect(connection: Connection) {
    this.watcher(connection);
  }
  send(...items: StreamItem[]) {
    this.queue.push(...items);
    this.wake();
  }
  async *events({ since, signal }: { since?: number; signal: AbortSignal }): AsyncGenerator<StreamItem> {
    if (since !== undefined) return;
    while (!signal.aborted) {
      yield* this.queue.splice(0);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }
}

/** A session whose node answers what `answer` says: the body of a response, or a whole one. */
export function makeSession(state: Partial<State>, answer: (request: Request) => unknown = () => ({})) {
  const fetch = vi.fn(async (input: RequestInfo | URL, init?: RequestInit) => {
    const found = answer(new Request(input, init));
    return found instanceof Response ? found : Response.json(found);
  });
  const mesh = new Mesh({ url: 'http://127.0.0.1:1', token: 'x'.repeat(20), fetch });
  const store = new Store<State>({ ...initialState, connection: 'open', jobsRead: true, ...state });
  const session: Session = {
    mesh,
    store,
    live: new Live(new FakeSource(), store, () => undefined),
    messages: [],
    say: vi.fn(),
    fail: vi.fn(),
    dismiss: vi.fn(),
  };
  const Wrapper = ({ children }: { children: ReactNode }) => <SessionValue value={session}>{children}</SessionValue>;
  return { session, store, fetch, Wrapper };
}
