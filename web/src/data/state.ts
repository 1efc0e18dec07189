// The state that all pages show, and how the node's answers and events change it: pure functions, tested without a node.
//
// What the REST routes say is what holds; an event changes what it surely knows (a phase, who has a shard), and what it
// only hints at (counts, seats) is named in `stale`, so that it is read again. An event that was seen is ignored, so a
// stream may repeat itself. Bounds: maxActivity events, maxMoments of a job, maxJobs; a job's shards as many as it says,
// at most maxShards. A state is never changed in place.
import type { Connection, Job, MeshEvent, NodeInfo, Peer, Shard, Topology, Transfer } from './model';
import { isEnd, isPhase, shardPage } from './model';

export const maxActivity = 2000;
export const maxMoments = 1000;
export const maxJobs = 1000;
export const maxShards = 1_000_000;

export interface JobDetail {
  /** By number; undefined where a page was not read yet. */
  readonly shards: readonly (Shard | undefined)[];
  /** Its events but those of its log, oldest first. */
  readonly moments: readonly MeshEvent[];
  readonly momentsLeftOut: number;
}

export interface State {
  readonly connection: Connection;
  readonly node: NodeInfo | null;
  /** When this page noticed that the node had been started again. */
  readonly restartedAt: number | null;
  readonly jobs: ReadonlyMap<string, Job>;
  /** Newest first. */
  readonly order: readonly string[];
  readonly jobsRead: boolean;
  readonly details: ReadonlyMap<string, JobDetail>;
  readonly peers: readonly Peer[] | null;
  readonly topology: Topology | null;
  readonly transfers: ReadonlyMap<string, Transfer> | null;
  /** What the node told of late, newest last. */
  readonly activity: readonly MeshEvent[];
  readonly lastSeq: number;
  /** Grows with each block of the ledger that is told of. */
  readonly ledgerTick: number;
  readonly assetsTick: number;
}

export const initialState: State = {
  connection: 'connecting',
  node: null,
  restartedAt: null,
  jobs: new Map(),
  order: [],
  jobsRead: false,
  details: new Map(),
  peers: null,
  topology: null,
  transfers: null,
  activity: [],
  lastSeq: -1,
  ledgerTick: 0,
  assetsTick: 0,
};

/** What has to be read again after events. */
export interface Stale {
  readonly jobs: Set<string>;
  readonly shardPages: Map<string, Set<number>>;
  peers: boolean;
  transfers: boolean;
}

function newStale(): Stale {
  return { jobs: new Set(), shardPages: new Map(), peers: false, transfers: false };
}

const emptyDetail: JobDetail = { shards: [], moments: [], momentsLeftOut: 0 };

/** Numbers of the shards that an event is about, within a job of `count`. */
export function shardsOf(event: MeshEvent, count: number): number[] {
  const numbers: number[] = [];
  for (const [first, length] of event.shards ?? []) {
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(length)) continue;
    const from = Math.max(0, first ?? 0);
    const to = Math.min(count, (first ?? 0) + (length ?? 0));
    for (let number = from; number < to; ++number) numbers.push(number);
  }
  return numbers;
}

/** Those after which a shard is not run again. */
const decisions = new Set(['accepted', 'unverified', 'undetermined', 'spot_checked']);

/** What an event says of its shards; null: nothing. */
function shardChange(event: MeshEvent): Partial<Shard> | null {
  const worker = event.peer ?? null;
  if (event.kind === 'job.award') return { state: 'running', worker };
  if (event.kind === 'job.committed') return { state: 'committed', worker };
  if (event.kind !== 'job.shard') return null;
  if (event.phase === 'running') return { state: 'waiting', worker: null, seats: [] };
  const word = (event.text ?? '').split(' ', 1)[0] ?? '';
  if (decisions.has(word)) return { state: word, decision: word, worker };
  return word === 'rejected' || word === 'disputed' ? { state: 'waiting', worker: null } : null;
}

/** Maps and lists that are copied once for a batch, at their first change. */
class Draft {
  jobs: Map<string, Job> | null = null;
  details: Map<string, JobDetail> | null = null;
  private readonly ownShards = new Set<string>();
  private readonly ownMoments = new Set<string>();
  readonly stale = newStale();
  activity: MeshEvent[] | null = null;
  ledgerTick: number;
  assetsTick: number;

  constructor(readonly base: State) {
    this.ledgerTick = base.ledgerTick;
    this.assetsTick = base.assetsTick;
  }

  job(id: string): Job | undefined {
    return (this.jobs ?? this.base.jobs).get(id);
  }
  setJob(job: Job): void {
    (this.jobs ??= new Map(this.base.jobs)).set(job.id, job);
  }
  detail(id: string): JobDetail | undefined {
    return (this.details ?? this.base.details).get(id);
  }
  shards(id: string, detail: JobDetail): (Shard | undefined)[] {
    if (this.ownShards.has(id)) return detail.shards as (Shard | undefined)[];
    this.ownShards.add(id);
    const shards = detail.shards.slice();
    (this.details ??= new Map(this.base.details)).set(id, { ...detail, shards });
    return shards;
  }
  addMoment(id: string, event: MeshEvent): void {
    const detail = this.detail(id);
    if (!detail) return;
    if (this.ownMoments.has(id)) {
      (detail.moments as MeshEvent[]).push(event);
      return;
    }
    this.ownMoments.add(id);
    (this.details ??= new Map(this.base.details)).set(id, { ...detail, moments: [...detail.moments, event] });
  }
  /** Cuts what grew beyond its bound. */
  finish(): void {
    for (const id of this.ownMoments) {
      const detail = this.details?.get(id);
      const over = (detail?.moments.length ?? 0) - maxMoments;
      if (detail && over > 0)
        this.details?.set(id, {
          ...detail,
          moments: detail.moments.slice(over),
          momentsLeftOut: detail.momentsLeftOut + over,
        });
    }
    if (this.activity && this.activity.length > maxActivity) this.activity = this.activity.slice(-maxActivity);
  }
}

function takeJobEvent(draft: Draft, id: string, event: MeshEvent): void {
  draft.stale.jobs.add(id);
  draft.addMoment(id, event);
  const job = draft.job(id);
  if (!job) return;
  if ((event.kind === 'job.phase' || event.kind === 'job.done') && event.phase && isPhase(event.phase) && !job.ended) {
    draft.setJob({ ...job, phase: event.phase, ended: isEnd(event.phase) });
  } else if (event.kind === 'job.note' && event.text) {
    draft.setJob({ ...job, notes: [...job.notes, event.text] });
  }
  takeShards(draft, id, event);
}

function takeShards(draft: Draft, id: string, event: MeshEvent): void {
  const detail = draft.detail(id);
  if (!detail) return;
  const numbers = shardsOf(event, detail.shards.length);
  if (numbers.length === 0) return;
  let pages = draft.stale.shardPages.get(id);
  if (!pages) draft.stale.shardPages.set(id, (pages = new Set()));
  for (const number of numbers) pages.add(Math.floor(number / shardPage));
  const change = shardChange(event);
  if (!change) return;
  const shards = draft.shards(id, detail);
  for (const number of numbers) {
    const shard = shards[number];
    if (shard) shards[number] = { ...shard, ...change };
  }
}

/** A new state, and what it is no longer sure of. Events may come twice or out of order. */
export function withEvents(state: State, events: readonly MeshEvent[]): [State, Stale] {
  const draft = new Draft(state);
  let lastSeq = state.lastSeq;
  const sorted = events.toSorted((a, b) => a.seq - b.seq);
  for (const event of sorted) {
    if (event.seq <= lastSeq) continue;
    lastSeq = event.seq;
    if (event.kind === 'job.log') continue;
    (draft.activity ??= [...state.activity]).push(event);
    if (event.job && event.kind.startsWith('job.')) takeJobEvent(draft, event.job, event);
    else if (event.kind.startsWith('peer.')) draft.stale.peers = true;
    else if (event.kind.startsWith('transfer.')) draft.stale.transfers = true;
    else if (event.kind.startsWith('ledger.')) ++draft.ledgerTick;
    else if (event.kind.startsWith('assets.')) ++draft.assetsTick;
  }
  if (lastSeq === state.lastSeq) return [state, draft.stale];
  draft.finish();
  const next: State = {
    ...state,
    lastSeq,
    ledgerTick: draft.ledgerTick,
    assetsTick: draft.assetsTick,
    activity: draft.activity ?? state.activity,
    jobs: draft.jobs ?? state.jobs,
    details: draft.details ?? state.details,
  };
  return [withProgress(next, sorted), draft.stale];
}

/** What transfers told of themselves, between two readings of the list. */
function withProgress(state: State, events: readonly MeshEvent[]): State {
  if (!state.transfers) return state;
  let transfers: Map<string, Transfer> | null = null;
  for (const { transfer } of events) {
    const known = transfer && (transfers ?? state.transfers).get(transfer.cid);
    if (!transfer || !known) continue;
    transfers ??= new Map(state.transfers);
    const { bytes, bytes_here, bytes_per_s } = transfer;
    transfers.set(transfer.cid, { ...known, bytes, bytes_here, bytes_per_s });
  }
  return transfers ? { ...state, transfers } : state;
}

/** After a gap: what is numbered below may come no more, what is numbered otherwise is a new story. */
export function withGap(state: State, seq: number): State {
  return { ...state, lastSeq: seq };
}

export function withNode(state: State, node: NodeInfo, now: number): State {
  const restarted = state.node !== null && state.node.boot !== node.boot;
  return { ...state, node, restartedAt: restarted ? now : state.restartedAt };
}

export function withJobs(state: State, jobs: readonly Job[]): State {
  return {
    ...state,
    jobs: new Map(jobs.map((job) => [job.id, job])),
    order: jobs.map((job) => job.id),
    jobsRead: true,
  };
}

/** An answer may have been made before an event that came while it was on its way: an end that was told of stays one. */
function withToldEnd(state: State, job: Job): Job {
  if (job.ended) return job;
  const end = state.activity.findLast((event) => event.kind === 'job.done' && event.job === job.id);
  return end?.phase && isEnd(end.phase) ? { ...job, phase: end.phase, ended: true } : job;
}

export function withJob(state: State, answer: Job): State {
  const job = withToldEnd(state, answer);
  const jobs = new Map(state.jobs).set(job.id, job);
  const order = state.jobs.has(job.id) ? state.order : [job.id, ...state.order].slice(0, maxJobs);
  const detail = state.details.get(job.id);
  const details =
    detail && detail.shards.length !== boundedShards(job)
      ? new Map(state.details).set(job.id, { ...detail, shards: resized(detail.shards, boundedShards(job)) })
      : state.details;
  return { ...state, jobs, order, details };
}

function boundedShards(job: Job): number {
  return Math.min(Math.max(0, job.shards), maxShards);
}

function resized<T>(list: readonly (T | undefined)[], length: number): (T | undefined)[] {
  return Array.from({ length }, (_, index) => list[index]);
}

/** Begins to keep a job's shards and moments. */
export function withDetail(state: State, id: string): State {
  if (state.details.has(id)) return state;
  const job = state.jobs.get(id);
  const shards = job ? resized<Shard>([], boundedShards(job)) : [];
  return { ...state, details: new Map(state.details).set(id, { ...emptyDetail, shards }) };
}

export function withoutDetail(state: State, id: string): State {
  if (!state.details.has(id)) return state;
  const details = new Map(state.details);
  details.delete(id);
  return { ...state, details };
}

export function withShards(state: State, id: string, read: readonly Shard[]): State {
  const detail = state.details.get(id);
  if (!detail) return state;
  const shards = detail.shards.slice();
  for (const shard of read) if (shard.shard >= 0 && shard.shard < shards.length) shards[shard.shard] = shard;
  return { ...state, details: new Map(state.details).set(id, { ...detail, shards }) };
}

function merged(known: readonly MeshEvent[], past: readonly MeshEvent[]): MeshEvent[] {
  const bySeq = new Map<number, MeshEvent>();
  for (const event of [...past, ...known]) bySeq.set(event.seq, event);
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}

/** Events of before this page looked, of one job. */
export function withPastOf(state: State, id: string, past: readonly MeshEvent[]): State {
  const detail = state.details.get(id);
  if (!detail || past.length === 0) return state;
  const all = merged(
    detail.moments,
    past.filter((event) => event.job === id && event.kind !== 'job.log'),
  );
  const over = Math.max(0, all.length - maxMoments);
  const next = { ...detail, moments: all.slice(over), momentsLeftOut: detail.momentsLeftOut + over };
  return { ...state, details: new Map(state.details).set(id, next) };
}

/** Events of before this page looked, of everything. */
export function withPast(state: State, past: readonly MeshEvent[]): State {
  const heard = past.filter((event) => event.kind !== 'job.log');
  return { ...state, activity: merged(state.activity, heard).slice(-maxActivity) };
}

export function withTransfers(state: State, transfers: readonly Transfer[]): State {
  return { ...state, transfers: new Map(transfers.map((transfer) => [transfer.cid, transfer])) };
}
