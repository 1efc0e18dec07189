// The client against a server that does what a node should not.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer, type WebSocket as Socket } from 'ws';
import { BadAnswer, Mesh, MeshError, NodeUnreachable, Unauthorized, asJson, asText, unwrap } from './index.js';
import type { Gap, MeshEvent } from './index.js';
import { connect } from './node.js';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let sockets: WebSocketServer;
let answer: Answer;
let onSocket: (socket: Socket, url: URL, count: number) => void;
let opened = 0;
let url = '';
let mesh: Mesh;

function json(status: number, body: unknown, type = 'application/json'): Answer {
  return (_, response) => {
    response.writeHead(status, { 'content-type': type });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
}
const view = (ended: boolean) => ({ id: 'bafy', phase: ended ? 'done' : 'running', ended, shards: 1 });
const event = (seq: number, kind = 'node.up') => JSON.stringify({ seq, kind, time: '2026-01-01T00:00:00Z' });

beforeEach(async () => {
  opened = 0;
  answer = json(200, {});
  onSocket = () => undefined;
  server = createServer((request, response) => answer(request, response));
  sockets = new WebSocketServer({ server, handleProtocols: () => 'meshwork.v1' });
  sockets.on('connection', (socket, request) => onSocket(socket, new URL(request.url ?? '', url), ++opened));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  mesh = await connect({ url, token: 'secret' });
});
afterEach(async () => {
  for (const socket of sockets.clients) socket.terminate();
  sockets.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function take(count: number, since?: number): Promise<(MeshEvent | Gap)[]> {
  const got: (MeshEvent | Gap)[] = [];
  for await (const one of mesh.events(since === undefined ? {} : { since })) if (got.push(one) === count) break;
  return got;
}

describe('requests', () => {
  it('carry the token', async () => {
    let header: string | undefined;
    answer = (request, response) => {
      header = request.headers.authorization;
      json(200, view(true))(request, response);
    };
    await mesh.job('bafy').status();
    expect(header).toBe('Bearer secret');
  });
  it.each([
    [401, Unauthorized, 'unauthorized'],
    [403, MeshError, 'denied'],
    [404, MeshError, 'not-found'],
    [503, MeshError, 'unavailable'],
  ])('make %i an error', async (status, type, kind) => {
    answer = json(
      status,
      { title: 'No', status, detail: '<script>', candidates: ['a', 7] },
      'application/problem+json',
    );
    const error = await mesh
      .job('x')
      .status()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ kind, status, title: 'No', detail: '<script>', candidates: ['a'] });
  });
  it.each([
    ['no JSON', '{'],
    ['no job', '{"id":7}'],
    ['null', 'null'],
  ])('refuse %s', async (_, body) => {
    answer = json(200, body);
    await expect(mesh.job('x').status()).rejects.toBeInstanceOf(BadAnswer);
  });
  it('say that nobody is there, and that the node went away', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{');
      setImmediate(() => response.destroy());
    };
    await expect(mesh.job('x').status()).rejects.toBeInstanceOf(NodeUnreachable);
    const nobody = new Mesh({ url: 'http://127.0.0.1:1' });
    await expect(unwrap(nobody.api.GET('/api/v1/node'))).rejects.toBeInstanceOf(NodeUnreachable);
  });
  it('end by their signal', async () => {
    const control = new AbortController();
    answer = () => control.abort(new Error('enough'));
    await expect(mesh.job('x').status({ signal: control.signal })).rejects.toThrow('enough');
  });
  it('refuse a result that is larger than what is taken', async () => {
    answer = (request, response) => {
      const isResult = request.url?.includes('/result') ?? false;
      if (!isResult) return json(200, { ...view(true), failed_outcomes: 0, result: null })(request, response);
      response.end(Buffer.alloc(5000));
    };
    await expect(mesh.job('x').result({ limit: 4999 })).rejects.toBeInstanceOf(BadAnswer);
    expect((await mesh.job('x').result({ limit: 5000 })).length).toBe(5000);
  });
  it('refuse logs that are none', async () => {
    for (const body of ['{"shard":0,"peer":null,"data":"x"}\n', '{"shard":0}\n', 'x\n', '{"shard":0']) {
      answer = json(200, body, 'application/x-ndjson');
      const all = async () => {
        for await (const line of mesh.job('x').logs()) expect(line).toBeDefined();
      };
      await expect(all()).rejects.toBeInstanceOf(BadAnswer);
    }
  });
  it('keep a character that was cut in two', async () => {
    const line = (bytes: number[]) =>
      `{"shard":0,"peer":null,"data":"m${Buffer.from(bytes).toString('base64').replace(/=+$/, '')}"}\n`;
    answer = json(200, line([0xc3]) + line([0xa4]), 'application/x-ndjson');
    let text = '';
    for await (const one of mesh.job('x').logs()) text += one.text;
    expect(text).toBe('ä');
  });
});

describe('a log that is followed', () => {
  const base64 = (text: string) => `m${Buffer.from(text).toString('base64').replace(/=+$/, '')}`;
  const stored = (shard: number, text: string) => `${JSON.stringify({ shard, peer: null, data: base64(text) })}\n`;
  const piece = (seq: number, shard: number, text: string) =>
    JSON.stringify({ seq, time: '', kind: 'job.log', shard, shards: [[shard, 1]], data: base64(text) });
  const begin = (seq: number) => JSON.stringify({ seq, time: '', kind: 'job.phase', phase: 'bidding' });
  const gap = (seq: number) => JSON.stringify({ seq, time: '', kind: 'gap', text: 'gone' });
  const sinces: (string | null)[] = [];
  let isEnded = false;
  let logs: Answer;

  beforeEach(() => {
    sinces.length = 0;
    isEnded = false;
    logs = (_, response) => response.end(stored(0, 'abc') + stored(1, 'late'));
    answer = (request, response) =>
      request.url?.includes('/logs') ? logs(request, response) : json(200, view(isEnded))(request, response);
  });
  /** Sends these over one socket after the other, each of which is cut then. */
  function scripted(...scripts: (readonly string[])[]): void {
    onSocket = (socket, { searchParams }, count) => {
      sinces.push(searchParams.get('since'));
      for (const message of scripts[count - 1] ?? []) socket.send(message);
      if (count === scripts.length) isEnded = true;
      socket.close(1001, 'cut');
    };
  }
  async function followed(): Promise<string[]> {
    const got: string[] = [];
    for await (const { shard, text, anew } of mesh.job('bafy').logs({ follow: true }))
      got.push(`${shard}${anew ? ' anew' : ''}: ${text}`);
    return got;
  }

  it('goes on after a cut, and gives what never came live at the end', async () => {
    scripted([begin(1), piece(2, 0, 'a')], [piece(3, 0, 'bc'), event(4, 'job.done')]);
    expect(await followed()).toEqual(['0: a', '0: bc', '1: late']);
    expect(sinces).toEqual(['0', '2']);
  });
  it('takes no part for missing that is of before the job', async () => {
    scripted([gap(70), begin(71), piece(72, 0, 'abc'), event(73, 'job.done')]);
    expect(await followed()).toEqual(['0: abc', '1: late']);
  });
  it('gives a shard anew of which a part was missed', async () => {
    scripted([begin(1), piece(2, 0, 'a')], [gap(9), piece(10, 0, 'c'), event(11, 'job.done')]);
    const got = await followed();
    expect(got.slice(-2)).toEqual(['0 anew: abc', '1: late']);
    expect(got[0]).toBe('0: a');
  });
  it('gives what is left when the node goes away in the middle of the end', async () => {
    isEnded = true;
    let asked = 0;
    logs = (_, response) => {
      if (++asked > 1) return response.end(stored(0, 'abc') + stored(0, 'def') + stored(1, 'late'));
      response.write(stored(0, 'abcd'), () => response.destroy());
    };
    expect(await followed()).toEqual(['0: abcd', '0: ef', '1: late']);
  });
  it('refuses an event of a log that has none', async () => {
    scripted([begin(1), event(2, 'job.log')]);
    await expect(followed()).rejects.toBeInstanceOf(BadAnswer);
  });
});

describe('events', () => {
  it('resume by the number of the last event', async () => {
    const asked: (string | null)[] = [];
    onSocket = (socket, { searchParams }, count) => {
      asked.push(searchParams.get('since'));
      socket.send(event(10 + count));
      if (count === 1) socket.close(1001, 'the node stops');
    };
    expect((await take(2)).map((one) => one.seq)).toEqual([11, 12]);
    expect(asked).toEqual([null, '11']);
  });
  it('say that something is missing when nothing was seen before the cut', async () => {
    onSocket = (socket, _, count) => (count === 1 ? socket.close() : socket.send(event(5)));
    expect((await take(2)).map((one) => one.kind)).toEqual(['gap', 'node.up']);
  });
  it("pass on the node's gaps, and make one of what is no event", async () => {
    onSocket = (socket) => {
      socket.send(JSON.stringify({ seq: 1, kind: 'gap', time: '', text: 'gone' }));
      for (const bad of ['{', '[]', '{"seq":-1,"kind":"x","time":""}', '{"seq":1e400,"kind":"x","time":""}'])
        socket.send(bad);
      socket.send(Buffer.from([1]));
    };
    expect((await take(6)).map((one) => one.kind)).toEqual(Array.from({ length: 6 }, () => 'gap'));
  });
  it('end where the token is wrong, and say so', async () => {
    const bad = new Mesh({
      url,
      token: 'x',
      WebSocket: class {
        onopen = null;
        onerror = null;
        onmessage = null;
        onclose: ((event: unknown) => unknown) | null = null;
        constructor() {
          queueMicrotask(() => this.onclose?.({ code: 1006, reason: '' }));
        }
        close() {}
      },
    });
    answer = json(401, { title: 'Unauthorised', status: 401, detail: 'no' });
    await expect(bad.events().next()).rejects.toBeInstanceOf(Unauthorized);
    expect(bad.connection.status).toEqual({ state: 'closed', reason: 'no' });
  });
  it('end by their signal, and tell the state', async () => {
    const states: string[] = [];
    mesh.connection.subscribe(() => states.push(mesh.connection.state));
    const control = new AbortController();
    onSocket = () => control.abort(new Error('enough'));
    await expect(mesh.events({ signal: control.signal }).next()).rejects.toThrow('enough');
    expect(states[0]).toBe('connecting');
    expect(states.at(-1)).toBe('closed');
  });
  it('wake who waits for a job', async () => {
    let ended = false;
    answer = (request, response) => json(200, view(ended))(request, response);
    onSocket = (socket) => {
      ended = true;
      socket.send(event(1, 'job.done'));
    };
    expect((await mesh.job('bafy').wait()).ended).toBe(true);
  });
});

describe('results', () => {
  it('are decoded strictly', () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(asJson(bytes('{"a":[1]}'))).toEqual({ a: [1] });
    for (const bad of ['NaN', '1e400', '', '{']) expect(() => asJson(bytes(bad))).toThrow(BadAnswer);
    expect(() => asText(Uint8Array.of(0xff))).toThrow(BadAnswer);
  });
});

it('takes no address or token that is none', () => {
  for (const bad of ['', 'nowhere', 'file:///etc', 'javascript:1'])
    expect(() => new Mesh({ url: bad })).toThrow(TypeError);
  expect(() => new Mesh({ url, token: 'a\r\nb' })).toThrow(TypeError);
});
