// What of the client needs Node: a running node found by the files of its home, and programs from files.
import { open, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, extname, isAbsolute, join } from 'node:path';
import { WebSocket } from 'ws';
import { NodeUnreachable } from './errors.js';
import { MAX_MESSAGE } from './events.js';
import type { Job } from './job.js';
import { Mesh } from './mesh.js';
import type { Language, RunOptions, Source } from './source.js';

export interface ConnectOptions {
  /** The node's folder; MESH_HOME or the XDG data folder unless told. */
  home?: string;
  /** With `url` no file is read. */
  url?: string;
  token?: string;
}

interface Address {
  url: string;
  token: string;
  pid: number;
}

const MAX_ADDRESS_BYTES = 4096;
const MAX_PROGRAM_BYTES = 45 * 2 ** 20; // As base64 it fits what a node takes in one request.

class NodeSocket extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols, { maxPayload: MAX_MESSAGE, perMessageDeflate: false });
  }
}

/** The home that `mesh` itself would use. */
export function homeFolder(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment['MESH_HOME']) return environment['MESH_HOME'].replace(/^~(?=\/|$)/, homedir());
  const data = environment['XDG_DATA_HOME'];
  // A folder that is not absolute is to be ignored (XDG Base Directory Specification).
  return join(data !== undefined && isAbsolute(data) ? data : join(homedir(), '.local/share'), 'meshwork');
}

function parseAddress(text: string, file: string): Address {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const { address, port, token, pid } = (value ?? {}) as Record<string, unknown>;
  const good =
    typeof address === 'string' &&
    /^[\da-fA-F.:]+$/.test(address) &&
    Number.isInteger(port) &&
    (port as number) > 0 &&
    (port as number) <= 65535 &&
    typeof token === 'string' &&
    Number.isSafeInteger(pid) &&
    (pid as number) > 0;
  if (!good) throw new NodeUnreachable(`${file} is damaged: restart the node`);
  const host = address.includes(':') ? `[${address}]` : address;
  return { url: `http://${host}:${String(port)}`, token, pid: pid as number };
}

async function readAtMost(file: string, limit: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(limit), 0, limit, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function findNode(home: string): Promise<Address> {
  const file = join(home, 'api.json');
  const none = `no node is running with the home ${home}: start one with \`mesh up\`, or name another home`;
  let text: string;
  try {
    text = await readAtMost(file, MAX_ADDRESS_BYTES);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new NodeUnreachable(code === 'ENOENT' ? none : `${file} cannot be read (${String(code)})`, error);
  }
  const address = parseAddress(text, file);
  // A node that was killed leaves its file.
  if (!isAlive(address.pid)) throw new NodeUnreachable(none);
  return address;
}

/** The running node of a home; NodeUnreachable says why there is none. Whether it answers, the first request tells. */
export async function connect(options: ConnectOptions = {}): Promise<Mesh> {
  const found = options.url === undefined ? await findNode(options.home ?? homeFolder()) : { url: options.url };
  const given = options.token === undefined ? {} : { token: options.token };
  return new Mesh({ ...found, ...given, WebSocket: NodeSocket });
}

const LANGUAGES: Readonly<Record<string, Language>> = {
  '.py': 'python',
  '.js': 'javascript',
  '.mjs': 'javascript',
  '.rb': 'ruby',
  '.php': 'php',
  '.wasm': 'wasm',
  '.wat': 'wat',
};

/** A program of one file; its language is its extension's. */
export async function sourceOf(path: string, args?: readonly string[]): Promise<Source> {
  const language = LANGUAGES[extname(path).toLowerCase()];
  if (language === undefined) throw new TypeError(`${path}: name a .wasm, .wat, .py, .js, .rb or .php file`);
  const { size } = await stat(path);
  if (size > MAX_PROGRAM_BYTES) throw new TypeError(`${path} is larger than ${MAX_PROGRAM_BYTES} bytes`);
  return { language, bytes: await readFile(path), ...(args === undefined ? {} : { args }) };
}

/** Runs a file; only the file itself goes, not what it imports from its folder. */
export async function runFile(
  mesh: Mesh,
  path: string,
  options: RunOptions & { args?: readonly string[] } = {},
): Promise<Job> {
  const { args, ...rest } = options;
  return mesh.run(await sourceOf(path, args), { label: basename(path), ...rest });
}
