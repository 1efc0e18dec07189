// A job of a node: how far it is, what it says, what came out and what proves it.
//
// Bounds: 64 MiB of a result or a bundle unless the caller says otherwise; 24 MiB of one line of a log.
import { decodeMultibase64 } from './encoding.js';
import { BadAnswer, MeshError } from './errors.js';
import { OPENED, follow, type EventSource } from './events.js';
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
}

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
      const view = await this.status(options);
      if (view.ended) return view;
    }
    throw new BadAnswer('the events ended');
  }

  /** What the function wrote to stderr, piece by piece. */
  async *logs(options: LogOptions = {}): AsyncGenerator<LogLine, void, void> {
    const query = {
      ...(options.follow ? { follow: 1 } : {}),
      ...(options.shard === undefined ? {} : { shard: options.shard }),
    };
    const params = { path: { id: this.id }, query };
    const body = await unwrap(
      this.#api.GET('/api/v1/tasks/{id}/logs', { params, parseAs: 'stream', ...signalOf(options) }),
    );
    const decoders = new Map<number, TextDecoder>();
    for await (const line of linesOf(body)) yield parseLogLine(line, decoders);
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

function parseLogLine(line: string, decoders: Map<number, TextDecoder>): LogLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new BadAnswer('the node sent a log line that is not JSON', 0, error);
  }
  const { shard, peer, data } = (value ?? {}) as Record<string, unknown>;
  if (!Number.isSafeInteger(shard) || typeof data !== 'string' || !(peer === null || typeof peer === 'string'))
    throw new BadAnswer('the node sent something that is no log line');
  const number = shard as number;
  const decoder = decoders.get(number) ?? new TextDecoder();
  decoders.set(number, decoder);
  const bytes = decodeMultibase64(data);
  return { shard: number, peer, bytes, text: decoder.decode(bytes, { stream: true }) };
}
