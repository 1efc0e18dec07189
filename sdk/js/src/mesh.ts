// A node as a client sees it. Nothing is sent before a method is called, and nothing runs on behind a caller's back:
// event streams live as long as somebody iterates them.
import { Connection } from './connection.js';
import { encodeBase64 } from './encoding.js';
import { BadAnswer } from './errors.js';
import { OPENED, follow, type EventOptions, type EventSource, type Gap, type MeshEvent } from './events.js';
import type { WebSocketConstructor } from './events.js';
import { checkToken, makeApi, parseBase, unwrap, type Api, type Fetch } from './http.js';
import { Job, JobFailed, idOf } from './job.js';
import type { TaskPlan } from './schemas.js';
import { signalOf } from './signal.js';
import { inputsOf, taskRequest, type Input, type RunOptions, type Source } from './source.js';

export interface MeshOptions {
  /** Of the node's API, as in http://127.0.0.1:22600. */
  url: string;
  token?: string;
  /** Instead of the platform's own. */
  fetch?: Fetch;
  WebSocket?: WebSocketConstructor;
}

export interface MapOptions<T> extends RunOptions {
  /** Of each result, as in `asText` and `asJson`; its bytes unless told. */
  decode?: (bytes: Uint8Array) => T;
  /** Most bytes of one result. */
  limit?: number;
}

const MAX_INLINE_BYTES = 2 ** 20; // Of one input: longer ones are sent before the task.
const MAX_INLINE_TOTAL = 16 * 2 ** 20;

export class Mesh {
  readonly url: string;
  /** Every route of the node, typed; see `unwrap` for its answers. */
  readonly api: Api;
  /** The state of the event streams that events() made. */
  readonly connection = new Connection();
  readonly #events: EventSource;

  constructor(options: MeshOptions) {
    const base = parseBase(options.url);
    const token = options.token === undefined ? undefined : checkToken(options.token);
    const platform = globalThis as { WebSocket?: WebSocketConstructor };
    this.url = base.origin;
    this.api = makeApi({ base, token, fetch: options.fetch ?? ((...args) => globalThis.fetch(...args)) });
    this.#events = {
      base,
      token,
      WebSocket: options.WebSocket ?? platform.WebSocket,
      probe: (signal) => unwrap(this.api.GET('/api/v1/node', signalOf({ signal }))),
    };
  }

  /** Submits one task; resolves once the node has it for good. */
  async run(source: Source, options: RunOptions = {}): Promise<Job> {
    const { inputs, map } = inputsOf(options);
    const body = taskRequest(source, await this.#inline(inputs, options), map, options);
    const accepted = await unwrap(this.api.POST('/api/v1/tasks', { body, ...signalOf(options) }));
    return this.job(idOf(accepted));
  }

  /** What a run would ask for, without running anything. */
  async plan(source: Source, options: RunOptions = {}): Promise<TaskPlan> {
    const { inputs, map } = inputsOf(options);
    const body = { ...taskRequest(source, await this.#inline(inputs, options), map, options), dry_run: true };
    const plan = await unwrap(this.api.POST('/api/v1/tasks', { body, ...signalOf(options) }));
    if (!('fee_total' in plan)) throw new BadAnswer("the node's answer is no plan");
    return plan;
  }

  /**
   * Runs the function once for each input and gives what `decode` makes of each result, in the order of the inputs. JobFailed
   * at the first run that failed. Ended early, by the reader, a signal or an error, it stops the job.
   */
  async *map<T = Uint8Array>(
    source: Source,
    inputs: readonly Input[],
    options: MapOptions<T> = {},
  ): AsyncGenerator<T, void, void> {
    const { decode, limit, input: _input, inputs: _inputs, ...run } = options;
    if (inputs.length === 0) return;
    const job = await this.run(source, { ...run, inputs });
    let isWhole = false;
    try {
      const reading = { ...signalOf(options), ...(limit === undefined ? {} : { limit }) };
      for await (const result of job.results(reading)) {
        const { shard, bytes, outcome } = result;
        if (outcome !== null && !outcome.succeeded)
          throw new JobFailed(await job.status(), `the function failed for input ${shard}: ${outcome.text}`);
        yield decode === undefined ? (bytes as T) : decode(bytes);
      }
      isWhole = true;
    } finally {
      // What comes of it does not matter any more: the caller hears of the error that ended this.
      if (!isWhole) await job.stop().catch(() => undefined);
    }
  }

  /** By its id, or any beginning of it that is unambiguous. */
  job(id: string): Job {
    return new Job(this.api, this.#events, id);
  }

  /** Keeps bytes in the node, without having it serve them; the CID names them as an input. */
  async upload(bytes: Uint8Array | Blob, options: { signal?: AbortSignal } = {}): Promise<string> {
    const answer = await unwrap(
      this.api.POST('/api/v1/assets', {
        params: { query: { declare: 0 } },
        // The API's description cannot say that a body is bytes.
        body: bytes as never,
        bodySerializer: (body: unknown) => body,
        headers: { 'Content-Type': 'application/octet-stream' },
        ...signalOf(options),
      }),
    );
    if (!('cid' in answer) || typeof answer.cid !== 'string') throw new BadAnswer("the node's answer names no content");
    return answer.cid;
  }

  /**
   * Every change from now on, or after the event `since`; ends only by its signal (which throws the signal's reason),
   * by the reader, or by an error that trying again does not mend (Unauthorized, denied).
   */
  async *events(options: EventOptions = {}): AsyncGenerator<MeshEvent | Gap, void, void> {
    for await (const event of follow(this.#events, options, this.connection)) if (event !== OPENED) yield event;
  }

  async #inline(inputs: readonly Input[], options: RunOptions): Promise<unknown[]> {
    const total = inputs.reduce((sum, input) => sum + sizeOf(input), 0);
    const longest = total > MAX_INLINE_TOTAL ? 0 : MAX_INLINE_BYTES;
    const taken: unknown[] = [];
    for (const input of inputs) {
      if (typeof input === 'object' && 'cid' in input) taken.push(input.cid);
      // What is to be sealed is sealed by the node and must not be stored in the clear before.
      else if (sizeOf(input) > longest && !options.sealed) taken.push(await this.upload(bytesOf(input), options));
      else taken.push(typeof input === 'string' ? { text: input } : { base64: encodeBase64(input) });
    }
    return taken;
  }
}

function sizeOf(input: Input): number {
  if (typeof input === 'string') return input.length;
  return input instanceof Uint8Array ? input.byteLength : 0;
}

function bytesOf(input: string | Uint8Array): Uint8Array {
  return typeof input === 'string' ? new TextEncoder().encode(input) : input;
}
