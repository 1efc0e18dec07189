// The way to a node's HTTP API: an openapi-fetch client whose every failure is a MeshError.
//
// Bounds: 64 MiB of a JSON answer and 1 MiB of an error are read; bytes and streams are bounded by who asks for them.
// No redirect is followed, so the token goes to the node alone.
import createClient, { type Client } from 'openapi-fetch';
import type { paths } from './api.generated.js';
import { BadAnswer, MeshError, NodeUnreachable, errorOfAnswer } from './errors.js';

export type Api = Client<paths>;
export type Fetch = typeof globalThis.fetch;

const MAX_JSON_BYTES = 64 * 2 ** 20;
const MAX_PROBLEM_BYTES = 2 ** 20;
/** Of a result or a proof bundle, unless the caller says otherwise. */
export const MAX_BYTES = 64 * 2 ** 20;

export interface Endpoint {
  base: URL;
  token: string | undefined;
  fetch: Fetch;
}

/** An http(s) address without path, query and credentials; TypeError for anything else. */
export function parseBase(url: string): URL {
  let base: URL;
  try {
    base = new URL(url);
  } catch {
    throw new TypeError(`not a URL: ${url.slice(0, 200)}`);
  }
  if (base.protocol !== 'http:' && base.protocol !== 'https:')
    throw new TypeError(`a node's URL begins with http:// or https://, not ${base.protocol}`);
  return new URL(base.origin);
}

/** A token travels in headers and in the name of a WebSocket's subprotocol. */
export function checkToken(token: string): string {
  if (!/^[\w.~-]{1,256}$/.test(token)) throw new TypeError('a token is made of letters, digits and -._~');
  return token;
}

function bounded(response: Response, limit: number): Response {
  if (response.body === null) return response;
  let total = 0;
  const meter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      total += chunk.byteLength;
      if (total > limit) controller.error(new BadAnswer(`the answer is larger than ${limit} bytes`, response.status));
      else controller.enqueue(chunk);
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(meter), { status, statusText, headers });
}

function limitOf(response: Response): number {
  if (!response.ok) return MAX_PROBLEM_BYTES;
  const isJson = /^application\/json\b/i.test(response.headers.get('content-type') ?? '');
  return isJson ? MAX_JSON_BYTES : Infinity;
}

function unreachable(endpoint: Endpoint, cause: unknown): NodeUnreachable {
  return new NodeUnreachable(`no node answers at ${endpoint.base.origin}: is it running?`, cause);
}

export function makeApi(endpoint: Endpoint): Api {
  const send = async (request: Request): Promise<Response> => {
    let response: Response;
    try {
      response = await endpoint.fetch(request);
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason;
      throw unreachable(endpoint, error);
    }
    const limit = limitOf(response);
    return limit === Infinity ? response : bounded(response, limit);
  };
  return createClient<paths>({
    baseUrl: endpoint.base.origin,
    fetch: send,
    redirect: 'error',
    cache: 'no-store',
    headers: endpoint.token === undefined ? {} : { Authorization: `Bearer ${endpoint.token}` },
  });
}

/** What reading an answer may throw, as an error of this package; an abort's reason stays what it is. */
export function readError(error: unknown, status = 0): unknown {
  if (error instanceof MeshError) return error;
  if (error instanceof SyntaxError) return new BadAnswer("the node's answer is not JSON", status, error);
  if (error instanceof TypeError) return new NodeUnreachable('the node went away in the middle of an answer', error);
  return error;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer of `mesh.api`; throws a MeshError instead of returning an error. */
export async function unwrap<T>(answer: Promise<Answer<T>>): Promise<T> {
  let got: Answer<T>;
  try {
    got = await answer;
  } catch (error) {
    throw readError(error);
  }
  const { data, error, response } = got;
  if (!response.ok) throw errorOfAnswer(response.status, response.statusText, error);
  if (data === undefined) throw new BadAnswer("the node's answer is empty", response.status);
  return data;
}

/** Reads a body of at most `limit` bytes. */
export async function readBytes(body: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of chunksOf(body)) {
    total += chunk.byteLength;
    if (total > limit) throw new BadAnswer(`the answer is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** The pieces of a body; one that is not read to its end is cancelled. */
export async function* chunksOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array, void, void> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw readError(error);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
