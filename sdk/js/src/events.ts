// The node's events as an endless iteration over WebSockets: cut, it connects again with growing pauses and goes on after
// the last event it gave; what cannot be had any more is a gap, after which a reader asks for everything again.
//
// Bounds: 4 MiB a message; 4,096 messages and 8 MiB wait for a slow reader, then the socket is closed and opened again
// once they were read. What can go wrong: Unauthorized and denied end the iteration; everything else is tried again.
import type { components } from './api.generated.js';
import type { Connection } from './connection.js';
import { MeshError, Unauthorized } from './errors.js';
import { abortable } from './signal.js';

export type MeshEvent = components['schemas']['Event'];

/** Something is missing before what follows. */
export interface Gap {
  kind: 'gap';
  text: string;
  /** The node's events after this one follow. */
  seq?: number;
  time?: string;
}

/** Between the events, for readers inside this package: the socket is open, so later changes will be seen. */
export const OPENED = Symbol('opened');

// `any`: the handlers of the DOM's class and of ws's take events of types that have no common one.
/* eslint-disable @typescript-eslint/no-explicit-any */
export interface WebSocketLike {
  onopen: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  close(): void;
}
/* eslint-enable @typescript-eslint/no-explicit-any */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

export interface EventOptions {
  /** Goes on after this event; from now on unless told. */
  since?: number;
  /** Of this job alone, by its whole id. */
  job?: string;
  signal?: AbortSignal;
}

export interface EventSource {
  base: URL;
  token: string | undefined;
  WebSocket: WebSocketConstructor | undefined;
  /** Throws if the node is not there or does not want this client. */
  probe(signal: AbortSignal | undefined): Promise<unknown>;
  /** Milliseconds before the first new attempt; doubled for each one that failed, up to 10 s. */
  pauseMs?: number;
}

export const MAX_MESSAGE = 4 * 2 ** 20;
const MAX_WAITING = 4096;
const MAX_WAITING_CHARS = 8 * 2 ** 20;
const MAX_PAUSE_MS = 10_000;

class Socket {
  readonly #socket: WebSocketLike;
  #waiting: string[] = [];
  #chars = 0;
  #opened = false;
  #closed: string | undefined;
  #wake: () => void = () => undefined;

  constructor(url: URL, protocols: string[], Constructor: WebSocketConstructor) {
    this.#socket = new Constructor(url.href, protocols);
    this.#socket.onopen = () => {
      this.#opened = true;
      this.#wake();
    };
    this.#socket.onmessage = ({ data }: { data: unknown }) => this.#take(data);
    this.#socket.onerror = () => undefined; // A close follows, which says more.
    this.#socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      this.#end(reason ? `${reason} (${code})` : `closed with ${code}`);
  }

  /** Whether it did open. */
  async open(signal: AbortSignal | undefined): Promise<boolean> {
    while (!this.#opened && this.#closed === undefined) await this.#change(signal);
    return this.#opened;
  }
  /** The next message; none once it is closed and all were read. */
  async next(signal: AbortSignal | undefined): Promise<string | undefined> {
    while (this.#waiting.length === 0 && this.#closed === undefined) await this.#change(signal);
    const message = this.#waiting.shift();
    this.#chars -= message?.length ?? 0;
    return message;
  }
  get reason(): string {
    return this.#closed ?? '';
  }
  close(): void {
    this.#end('closed by this client');
  }

  #take(data: unknown): void {
    if (this.#closed !== undefined) return;
    const message = typeof data === 'string' && data.length <= MAX_MESSAGE ? data : '';
    this.#waiting.push(message);
    this.#chars += message.length;
    // What was queued is still read; the rest comes again from the node.
    if (this.#waiting.length >= MAX_WAITING || this.#chars >= MAX_WAITING_CHARS) this.#end('the reader is too slow');
    else this.#wake();
  }
  #end(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason.slice(0, 200);
    this.#socket.close();
    this.#wake();
  }
  #change(signal: AbortSignal | undefined): Promise<void> {
    return abortable(signal, (resolve) => {
      this.#wake = resolve;
    });
  }
}

function isText(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** An event or a gap as a message says it; none if it is neither. */
export function parseEvent(message: string): MeshEvent | Gap | undefined {
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const event = value as Record<string, unknown>;
  const texts = [event['job'], event['peer'], event['phase'], event['text'], event['data']];
  const good =
    isCount(event['seq']) &&
    typeof event['time'] === 'string' &&
    typeof event['kind'] === 'string' &&
    texts.every(isText) &&
    (event['shard'] === undefined || isCount(event['shard'])) &&
    (event['shards'] === undefined || Array.isArray(event['shards'])) &&
    (event['transfer'] === undefined || (typeof event['transfer'] === 'object' && event['transfer'] !== null));
  return good ? (value as MeshEvent | Gap) : undefined;
}

function isFatal(error: unknown): boolean {
  return error instanceof Unauthorized || (error instanceof MeshError && error.kind === 'denied');
}

function pauseOf(source: EventSource, failures: number): number {
  const pause = Math.min((source.pauseMs ?? 250) * 2 ** Math.min(failures, 16), MAX_PAUSE_MS);
  return pause * (0.8 + 0.4 * Math.random());
}

function addressOf(source: EventSource, since: number | undefined, job: string | undefined): URL {
  const url = new URL('/api/v1/events', source.base);
  url.protocol = source.base.protocol === 'https:' ? 'wss:' : 'ws:';
  if (since !== undefined) url.searchParams.set('since', String(since));
  if (job !== undefined) url.searchParams.set('job', job);
  return url;
}

/** Why a socket did not open: its own reason, unless the node says more to a plain request. */
async function reasonOf(source: EventSource, socket: Socket, signal: AbortSignal | undefined): Promise<string> {
  try {
    await source.probe(signal);
  } catch (error) {
    if (isFatal(error) || !(error instanceof MeshError)) throw error;
    return error.message;
  }
  return `the node refuses its events: ${socket.reason}`;
}

export async function* follow(
  source: EventSource,
  options: EventOptions,
  connection?: Connection,
): AsyncGenerator<MeshEvent | Gap | typeof OPENED, void, void> {
  const { job, signal } = options;
  const Constructor = source.WebSocket;
  if (Constructor === undefined)
    throw new TypeError('this platform has no WebSocket: give Mesh one, or use connect() of "meshwork/node"');
  if (options.since !== undefined && !isCount(options.since))
    throw new TypeError('since is not the number of an event');
  const protocols = ['meshwork.v1', ...(source.token === undefined ? [] : [`meshwork.token.${source.token}`])];
  const me = {};
  let cursor = options.since;
  let failures = 0;
  let isFirst = true;
  let failure: string | undefined;
  connection?.report(me, { state: 'connecting', reason: '' });
  try {
    while (true) {
      signal?.throwIfAborted();
      const socket = new Socket(addressOf(source, cursor, job), protocols, Constructor);
      let reason: string;
      try {
        if (await socket.open(signal)) {
          connection?.report(me, { state: 'open', reason: '' });
          yield OPENED;
          if (!isFirst && cursor === undefined)
            yield { kind: 'gap', text: 'the connection was cut before the first event' };
          isFirst = false;
          for (let message = await socket.next(signal); message !== undefined; message = await socket.next(signal)) {
            const event = parseEvent(message);
            if (event === undefined) {
              yield { kind: 'gap', text: 'the node sent something that is no event' };
              continue;
            }
            if (event.seq !== undefined) cursor = event.seq;
            failures = 0;
            yield event;
          }
          reason = `the events ended: ${socket.reason}`;
        } else {
          reason = await reasonOf(source, socket, signal);
        }
      } finally {
        socket.close();
      }
      connection?.report(me, { state: 'connecting', reason });
      await pauseAfter(source, failures++, signal);
    }
  } catch (error) {
    if (!signal?.aborted) failure = error instanceof Error ? error.message : 'failed';
    throw error;
  } finally {
    connection?.forget(me, failure);
  }
}

/** Waits before another attempt, after so many that failed. */
export function pauseAfter(source: EventSource, failures: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return abortable(signal, (resolve) => {
    timer = setTimeout(resolve, pauseOf(source, failures));
  }).finally(() => clearTimeout(timer));
}
