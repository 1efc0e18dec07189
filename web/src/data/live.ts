// Keeps the state true to a running node: one event stream for the whole application, and the REST routes for what the
// events make stale.
//
// Events are gathered until the next frame and applied together, so that a hundred a second cost one rendering a frame.
// A reading that is wanted while it runs is done once more after it, never twice at a time, and not more often than
// every `readingPause`: that is after events, never by a clock alone. After a gap, and after the node was started again,
// everything is read anew. What can go wrong: a failed reading is told to `onError` and done again with the next event.
import type { Connection, Job, MeshEvent, NodeInfo, Peer, Shard, Topology, Transfer } from './model';
import { shardPage } from './model';
import type { Stale, State } from './state';
import {
  withDetail,
  withEvents,
  withGap,
  withJob,
  withJobs,
  withNode,
  withoutDetail,
  withPast,
  withPastOf,
  withShards,
  withTransfers,
} from './state';
import type { Store } from './store';

export type StreamItem = MeshEvent | { readonly kind: 'gap'; readonly seq?: number };

/** What the application reads of a node. */
export interface Source {
  node(): Promise<NodeInfo>;
  jobs(): Promise<Job[]>;
  job(id: string): Promise<Job>;
  shards(id: string, first: number, count: number): Promise<Shard[]>;
  peers(): Promise<Peer[]>;
  topology(): Promise<Topology>;
  transfers(): Promise<Transfer[]>;
  /** Comes back by itself after a cut, where it was. Ends only by its signal or an error that waiting does not mend. */
  events(options: { since?: number; job?: string; signal: AbortSignal }): AsyncIterable<StreamItem>;
  /** Calls back with the state of the event stream, now and at each change. */
  watchConnection(callback: (connection: Connection) => void): () => void;
}

export const readingPause = 250;

/** Runs a task at most once at a time, once more if it was wanted meanwhile, and not more often than each pause. */
class Reading {
  private running = false;
  private wanted = false;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly task: () => Promise<void>,
    private readonly onError: (error: unknown) => void,
  ) {}

  want(): void {
    if (this.running || this.timer !== null) {
      this.wanted = true;
      return;
    }
    this.running = true;
    this.task()
      .catch(this.onError)
      .finally(() => {
        this.running = false;
        this.timer = setTimeout(() => this.rest(), readingPause);
      });
  }
  private rest(): void {
    this.timer = null;
    if (!this.wanted) return;
    this.wanted = false;
    this.want();
  }
  cancel(): void {
    this.wanted = false;
    if (this.timer !== null) clearTimeout(this.timer);
  }
}

/** The next frame; a page in the background has none, and is told four times a second. */
function nextFrame(callback: () => void): void {
  if (document.hidden) setTimeout(callback, 250);
  else requestAnimationFrame(callback);
}

export class Live {
  private readonly abort = new AbortController();
  private readonly readings = new Map<string, Reading>();
  private readonly opened = new Map<string, { users: number; abort: AbortController }>();
  private waiting: StreamItem[] = [];
  private flushing = false;
  private everOpen = false;
  private unwatch: () => void = () => {};

  constructor(
    private readonly source: Source,
    private readonly store: Store<State>,
    private readonly onError: (error: unknown) => void,
    private readonly frame: (callback: () => void) => void = nextFrame,
  ) {}

  start(): void {
    this.unwatch = this.source.watchConnection((connection) => this.takeConnection(connection));
    void this.follow();
  }

  stop(): void {
    this.abort.abort();
    this.unwatch();
    for (const { abort } of this.opened.values()) abort.abort();
    for (const reading of this.readings.values()) reading.cancel();
  }

  private async follow(): Promise<void> {
    try {
      for await (const item of this.source.events({ signal: this.abort.signal })) {
        this.waiting.push(item);
        if (this.flushing) continue;
        this.flushing = true;
        this.frame(() => this.flush());
      }
    } catch (error) {
      if (!this.abort.signal.aborted) this.onError(error);
    }
  }

  private takeConnection(connection: Connection): void {
    this.store.update((state) => (state.connection === connection ? state : { ...state, connection }));
    if (connection === 'open') {
      // The first time everything; later the stream resumes where it was cut, and says so if it cannot.
      if (this.everOpen) this.readNode();
      else this.readAll();
      this.everOpen = true;
    } else if (connection === 'lost') {
      // A browser does not say why a WebSocket was refused; the answer to a request does (a token that holds no more).
      this.readNode();
    }
  }

  private flush(): void {
    this.flushing = false;
    const items = this.waiting;
    this.waiting = [];
    if (this.abort.signal.aborted) return;
    let batch: MeshEvent[] = [];
    for (const item of items) {
      if (item.kind !== 'gap') {
        batch.push(item as MeshEvent);
        continue;
      }
      this.apply(batch);
      batch = [];
      const { seq } = item;
      if (seq !== undefined) this.store.update((state) => withGap(state, seq));
      this.readAll();
    }
    this.apply(batch);
  }

  private apply(events: readonly MeshEvent[]): void {
    if (events.length === 0) return;
    let stale: Stale | null = null;
    this.store.update((state) => {
      const [next, found] = withEvents(state, events);
      stale = found;
      return next;
    });
    if (stale) this.readStale(stale);
  }

  private readStale(stale: Stale): void {
    for (const id of stale.jobs) this.readJob(id);
    for (const [id, pages] of stale.shardPages) for (const page of pages) this.readShards(id, page);
    if (stale.peers) this.readPeers();
    if (stale.transfers) this.readTransfers();
  }

  private want(key: string, task: () => Promise<void>): void {
    let reading = this.readings.get(key);
    if (!reading) {
      reading = new Reading(task, (error) => {
        if (!this.abort.signal.aborted) this.onError(error);
      });
      this.readings.set(key, reading);
    }
    reading.want();
  }

  readAll(): void {
    this.readNode();
    this.want('jobs', async () => {
      const jobs = await this.source.jobs();
      this.store.update((state) => withJobs(state, jobs));
    });
    this.readPeers();
    this.readTransfers();
    for (const id of this.opened.keys()) this.readDetail(id);
  }

  readNode(): void {
    this.want('node', async () => {
      const node = await this.source.node();
      const before = this.store.get().node;
      this.store.update((state) => withNode(state, node, Date.now()));
      if (before && before.boot !== node.boot) this.readAll();
    });
  }

  readPeers(): void {
    this.want('peers', async () => {
      const [peers, topology] = await Promise.all([this.source.peers(), this.source.topology()]);
      this.store.update((state) => ({ ...state, peers, topology }));
    });
  }

  readTransfers(): void {
    this.want('transfers', async () => {
      const transfers = await this.source.transfers();
      this.store.update((state) => withTransfers(state, transfers));
    });
  }

  readJob(id: string): void {
    this.want(`job ${id}`, async () => {
      const job = await this.source.job(id);
      this.store.update((state) => withJob(state, job));
    });
  }

  private readShards(id: string, page: number): void {
    this.want(`shards ${id} ${page}`, async () => {
      if (!this.opened.has(id)) return;
      const shards = await this.source.shards(id, page * shardPage, shardPage);
      this.store.update((state) => withShards(state, id, shards));
    });
  }

  private readDetail(id: string): void {
    this.want(`detail ${id}`, async () => {
      const job = await this.source.job(id);
      this.store.update((state) => withJob(withDetail(state, id), job));
      const pages = Math.ceil((this.store.get().details.get(id)?.shards.length ?? 0) / shardPage);
      for (let page = 0; page < pages; ++page) this.readShards(id, page);
    });
  }

  /** Keeps the shards and moments of a job until the function that it returns is called. */
  open(id: string): () => void {
    const known = this.opened.get(id);
    if (known) {
      ++known.users;
    } else {
      const abort = new AbortController();
      this.opened.set(id, { users: 1, abort });
      this.store.update((state) => withDetail(state, id));
      this.readDetail(id);
      void this.readPast(abort.signal, id);
    }
    return () => this.close(id);
  }

  private close(id: string): void {
    const known = this.opened.get(id);
    if (!known || --known.users > 0) return;
    known.abort.abort();
    this.opened.delete(id);
    this.store.update((state) => withoutDetail(state, id));
  }

  /**
   * What the node still knows of before this page looked, of one job or of everything. The application's own stream
   * begins with now; so this is another, which ends once it has come to what the first has brought, or by its signal.
   */
  async readPast(signal: AbortSignal, job?: string): Promise<void> {
    const until = this.store.get().lastSeq;
    let past: MeshEvent[] = [];
    const deliver = () => {
      const events = past;
      past = [];
      this.store.update((state) => (job === undefined ? withPast(state, events) : withPastOf(state, job, events)));
    };
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal, this.abort.signal]);
    try {
      for await (const item of this.source.events({ since: 0, ...(job === undefined ? {} : { job }), signal: both })) {
        if (item.kind === 'gap') continue; // What is no longer kept is not missed here.
        const event = item as MeshEvent;
        if (past.length === 0) this.frame(deliver);
        past.push(event);
        if (until >= 0 && event.seq >= until) stop.abort();
      }
    } catch (error) {
      if (!both.aborted) this.onError(error);
    }
  }
}
