// A job of a node: how far it is, what it says, what came out and what proves it.
//
// Bounds: 64 MiB of a result or a bundle unless the caller says otherwise; 24 MiB of one line of a log.
import { decodeMultibase64 } from './encoding.js';
import { BadAnswer, MeshError, NodeUnreachable } from './errors.js';
import { OPENED, follow, pauseAfter, type EventSource, type MeshEvent } from './events.js';
import { MAX_BYTES, chunksOf, readBytes, unwrap, type Api } from './http.js';
import type { ExplanationView, JobView, OutcomeView, ShardView } from './schemas.js';
import { signalOf } from './signal.js';

export interface LogLine {
  shard: number;
  /** Who ran it, if that is known. */
  peer: string | null;
  bytes: Uint8Array;
  /** The same as text; a character that was cut in two belongs to the later piece. Written by a guest: it may hold anything. */
  text: string;
  /** From the beginning of this shard's log: what came of it before lacks a part and is to be forgotten. */
  anew?: true;
}
type LogPiece = Omit<LogLine, 'text'>;

export interface ShardResult {
  shard: number;
  bytes: Uint8Array;
  /** How its run ended; null where the node does not know. */
  outcome: OutcomeView | null;
}

export interface ReadOptions {
  signal?: AbortSignal;
  /** Most bytes that are taken. */
  limit?: number;
}

export interface LogOptions {
  /** Goes on until the job ends. */
  follow?: boolean;
  shard?: number;
  signal?: AbortSignal;
}

/** A job that came to no result, or whose function failed. */
export class JobFailed extends MeshError {
  readonly view: JobView;
  constructor(view: JobView, detail: string) {
    super({ kind: 'job-failed', title: 'Job failed', detail });
    this.view = view;
  }
}

const MAX_LINE_CHARS = 24 * 2 ** 20;
const PAGE = 1000;

function checkView(view: JobView): JobView {
  const good =
    typeof view === 'object' &&
    view !== null &&
    typeof view.id === 'string' &&
    typeof view.phase === 'string' &&
    typeof view.ended === 'boolean' &&
    Number.isSafeInteger(view.shards);
  if (!good) throw new BadAnswer("the node's answer is no job");
  return view;
}

export class Job {
  readonly #api: Api;
  readonly #events: EventSource;

  /** @internal Use Mesh.run or Mesh.job. */
  constructor(
    api: Api,
    events: EventSource,
    readonly id: string,
  ) {
    this.#api = api;
    this.#events = events;
  }

  async status(options: { signal?: AbortSignal } = {}): Promise<JobView> {
    const params = { path: { id: this.id } };
    return checkView(await unwrap(this.#api.GET('/api/v1/tasks/{id}', { params, ...signalOf(options) })));
  }

  /** The job once it has ended, whatever it came to; goes on when the node restarts in between. */
  async wait(options: { signal?: AbortSignal } = {}): Promise<JobView> {
    const { signal } = options;
    const first = await this.status(options);
    if (first.ended) return first;
    for await (const event of follow(this.#events, { job: first.id, ...signalOf({ signal }) })) {
      if (event !== OPENED && event.kind !== 'job.done' && event.kind !== 'gap') continue;
      const view = await this.#reached(() => this.status(options), signal);
      if (view.ended) return view;
    }
    throw new BadAnswer('the events ended');
  }

  /**
   * What the function wrote to stderr, piece by piece. With `follow` also what it still writes, until the job ends, over cuts
   * of the connection and restarts of the node: each piece once. A shard of which something was missed meanwhile is given
   * whole, `anew`, when the job has ended.
   */
  async *logs(options: LogOptions = {}): AsyncGenerator<LogLine, void, void> {
    const decoders = new Map<number, TextDecoder>();
    for await (const piece of options.follow ? this.#followed(options) : this.#stored(options)) {
      const known = piece.anew ? undefined : decoders.get(piece.shard);
      const decoder = known ?? new TextDecoder();
      decoders.set(piece.shard, decoder);
      yield { ...piece, text: decoder.decode(piece.bytes, { stream: true }) };
    }
  }

  /** The bytes of the job's single result; waits for the end. JobFailed if there is none or the function failed. */
  async result(options: ReadOptions = {}): Promise<Uint8Array> {
    const view = await this.#done(options.signal);
    if (view.failed_outcomes > 0) throw await this.#guestFailure(view, options.signal);
    if (view.shards > 1 && view.result === null)
      throw new TypeError(`the job has ${view.shards} results: read them with results()`);
    return this.#resultBytes(undefined, options);
  }

  /** The result of every shard in order; waits for the end. `outcome` says whether the function failed in one. */
  async *results(options: ReadOptions = {}): AsyncGenerator<ShardResult, void, void> {
    const view = await this.#done(options.signal);
    for await (const shard of this.shards(options)) {
      if (shard.shard >= view.shards) throw new BadAnswer('the node names a shard that the job does not have');
      yield {
        shard: shard.shard,
        bytes: await this.#resultBytes(shard.shard, options),
        outcome: shard.outcome,
      };
    }
  }

  async *shards(options: { signal?: AbortSignal } = {}): AsyncGenerator<ShardView, void, void> {
    for (let first = 0; ;) {
      const params = { path: { id: this.id }, query: { first, count: PAGE } };
      const page = await unwrap(this.#api.GET('/api/v1/tasks/{id}/shards', { params, ...signalOf(options) }));
      if (!Array.isArray(page) || page.some((shard, i) => shard?.shard !== first + i))
        throw new BadAnswer("the node's answer is no list of shards");
      yield* page;
      if (page.length < PAGE) return;
      first += page.length;
    }
  }

  /** Who was asked, who was refused, who ran and who verified, and why. */
  async explain(options: { signal?: AbortSignal } = {}): Promise<ExplanationView> {
    const params = { path: { id: this.id } };
    return unwrap(this.#api.GET('/api/v1/tasks/{id}/explain', { params, ...signalOf(options) }));
  }

  /** The proof bundle, a CAR file that "meshwork/verify" checks; with `shard` what proves that one. */
  async receipts(options: ReadOptions & { shard?: number } = {}): Promise<Uint8Array> {
    const params = { path: { id: this.id }, query: options.shard === undefined ? {} : { shard: options.shard } };
    const body = await unwrap(
      this.#api.GET('/api/v1/tasks/{id}/receipts', { params, parseAs: 'stream', ...signalOf(options) }),
    );
    return readBytes(body, options.limit ?? MAX_BYTES);
  }

  async stop(options: { signal?: AbortSignal } = {}): Promise<void> {
    const params = { path: { id: this.id } };
    await unwrap(this.#api.POST('/api/v1/tasks/{id}/stop', { params, ...signalOf(options) }));
  }

  /** The same task again, as another job. */
  async rerun(options: { signal?: AbortSignal } = {}): Promise<Job> {
    const params = { path: { id: this.id } };
    const made = await unwrap(this.#api.POST('/api/v1/tasks/{id}/rerun', { params, ...signalOf(options) }));
    return new Job(this.#api, this.#events, idOf(made));
  }

  /** As the node has them now; of an ended job all. */
  async *#stored({ shard, ...options }: LogOptions): AsyncGenerator<LogPiece, void, void> {
    const params = { path: { id: this.id }, query: shard === undefined ? {} : { shard } };
    const body = await unwrap(
      this.#api.GET('/api/v1/tasks/{id}/logs', { params, parseAs: 'stream', ...signalOf(options) }),
    );
    for await (const line of linesOf(body)) yield parseLogLine(line);
  }

  async *#followed(options: LogOptions): AsyncGenerator<LogPiece, void, void> {
    const view = await this.status(options);
    const live = new Set<number>();
    let isWhole = true;
    if (!view.ended)
      for await (const event of follow(this.#events, { job: view.id, since: 0, ...signalOf(options) })) {
        if (event === OPENED) continue;
        if (event.kind === 'gap') {
          isWhole = false;
          if ((await this.#reached(() => this.status(options), options.signal)).ended) break;
        } else if (event.kind === 'job.log') {
          const piece = pieceOf(event);
          if (options.shard !== undefined && piece.shard !== options.shard) continue;
          live.add(piece.shard);
          yield piece;
        } else if (event.kind === 'job.done') break;
        // What the node no longer has is of before the job, then.
        else if (event.kind === 'job.phase' && event.phase === 'bidding' && live.size === 0) isWhole = true;
      }
    yield* this.#rest(options, isWhole, live);
  }

  /** Of an ended job what did not come live, and what came in part. */
  async *#rest(options: LogOptions, isWhole: boolean, live: ReadonlySet<number>): AsyncGenerator<LogPiece, void, void> {
    const given = new Map<number, number>();
    for (let failures = 0; ; ++failures) {
      const left = new Map(given);
      try {
        for await (const piece of this.#stored(options)) {
          const { shard, peer } = piece;
          if (isWhole && live.has(shard)) continue;
          const before = left.get(shard) ?? 0;
          const bytes = piece.bytes.subarray(before);
          left.set(shard, Math.max(0, before - piece.bytes.length));
          if (bytes.length === 0) continue;
          const isFirst = !given.has(shard) && live.has(shard);
          given.set(shard, (given.get(shard) ?? 0) + bytes.length);
          yield { shard, peer, bytes, ...(isFirst ? { anew: true as const } : {}) };
        }
        return;
      } catch (error) {
        if (!(error instanceof NodeUnreachable)) throw error;
      }
      await pauseAfter(this.#events, failures, options.signal);
    }
  }

  /** Asks until the node is there. */
  async #reached<T>(ask: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (let failures = 0; ; ++failures) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof NodeUnreachable)) throw error;
      }
      await pauseAfter(this.#events, failures, signal);
    }
  }

  async #done(signal: AbortSignal | undefined): Promise<JobView> {
    const view = await this.wait(signalOf({ signal }));
    if (view.phase === 'done') return view;
    if (view.failed_outcomes > 0) throw await this.#guestFailure(view, signal);
    throw new JobFailed(view, `the job is ${view.phase}${view.failure ? `: ${view.failure}` : ''}`);
  }

  async #guestFailure(view: JobView, signal: AbortSignal | undefined): Promise<JobFailed> {
    for await (const { shard, outcome } of this.shards(signalOf({ signal }))) {
      if (outcome === null || outcome.succeeded) continue;
      const where = view.shards > 1 ? ` in ${view.failed_outcomes} of ${view.shards} shards, first in ${shard}` : '';
      return new JobFailed(view, `the function failed${where}: ${outcome.text}`);
    }
    return new JobFailed(view, `the function failed: ${view.failure}`);
  }

  async #resultBytes(shard: number | undefined, options: ReadOptions): Promise<Uint8Array> {
    const params = { path: { id: this.id }, query: shard === undefined ? {} : { shard } };
    const body = await unwrap(
      this.#api.GET('/api/v1/tasks/{id}/result', { params, parseAs: 'stream', ...signalOf(options) }),
    );
    return readBytes(body, options.limit ?? MAX_BYTES);
  }
}

/** The id of a job that a node has taken. */
export function idOf(answer: unknown): string {
  const id = typeof answer === 'object' && answer !== null && 'id' in answer ? answer.id : undefined;
  if (typeof id !== 'string' || !/^b[a-z2-7]{1,127}$/.test(id)) throw new BadAnswer("the node's answer names no job");
  return id;
}

async function* linesOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunksOf(body)) {
    const pieces = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = pieces.pop() ?? '';
    if (rest.length > MAX_LINE_CHARS) throw new BadAnswer(`a line is longer than ${MAX_LINE_CHARS} characters`);
    yield* pieces.filter((line) => line !== '');
  }
  if (rest !== '') throw new BadAnswer('the log ends in the middle of a line');
}

function pieceOf(event: MeshEvent): LogPiece {
  const { shard, peer = null, data } = event;
  if (shard === undefined || data === undefined) throw new BadAnswer('the node sent an event of a log without one');
  return { shard, peer, bytes: decodeMultibase64(data) };
}

function parseLogLine(line: string): LogPiece {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new BadAnswer('the node sent a log line that is not JSON', 0, error);
  }
  const { shard, peer, data } = (value ?? {}) as Record<string, unknown>;
  if (!Number.isSafeInteger(shard) || typeof data !== 'string' || !(peer === null || typeof peer === 'string'))
    throw new BadAnswer('the node sent something that is no log line');
  return { shard: shard as number, peer, bytes: decodeMultibase64(data) };
}
