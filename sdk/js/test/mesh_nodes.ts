// Meshes of real nodes on loopback, for tests: `startMesh({ nodes: 3 })`, or with `federation` one that pays.
//
// MESH names the program. Each node has a home of its own in a temporary folder, which stop() removes; only the compiled
// code is shared (MESH_CACHE). Only processes that this module started are ever ended, and none outlives this one.
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { unwrap, type Mesh } from '../src/index.js';
import { connect } from '../src/node.js';

export interface FederationOptions {
  /** So many of the nodes validate; the others are members. 1 unless told. */
  founders?: number;
  /** Micro-credits that each member begins with. */
  gift?: number;
  /** Micro-credits that each member puts down, which makes it one that works and verifies for pay. */
  bond?: number;
  /** Further arguments of `mesh federation found`. */
  flags?: readonly string[];
}

export interface MeshNodesOptions {
  nodes: number;
  federation?: FederationOptions;
  /** Further arguments of every `mesh up`. */
  flags?: readonly string[];
  /** The program; the environment's MESH unless told. */
  program?: string;
  /** Each home lies on a disk of its own that holds so many MiB, and is lost with the node; see `hasOwnDisks`. */
  diskMib?: number;
}

export interface RunningMesh {
  nodes: MeshNode[];
  /** That of the nodes which a test speaks to. */
  first: MeshNode;
  /** Of the federation's charter and other things that one looks up: the folder of all homes. */
  folder: string;
  /** Ends all nodes and removes their homes. */
  stop(): Promise<void>;
}

interface Facts {
  api: string;
  addresses: string[];
}

const LIMIT_MS = 60_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** The program that tests use; none if the environment does not name one. */
export function meshProgram(): string | undefined {
  const program = process.env['MESH'];
  if (program !== undefined && !existsSync(program)) throw new Error(`MESH names ${program}, which is not there`);
  return program;
}

function environment(): NodeJS.ProcessEnv {
  const kept = ['MESH_CACHE', 'MESH_RUNTIMES_DIR'];
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('MESH') || kept.includes(name)),
  );
}

function cacheFolder(): string {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(process.env['MESH_CACHE'] || join(cache, 'meshwork'), 'compiled');
}

/** A disk of its own is a tmpfs that one process alone sees; who is not root needs a namespace of users for it, too. */
const namespaces = process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount'];

/** Whether this system lets a test give a node a disk of its own. */
export function hasOwnDisks(): boolean {
  const mount = ['--propagation', 'private', '--', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'];
  return spawnSync('unshare', [...namespaces, ...mount], { stdio: 'ignore' }).status === 0;
}

/** What goes before a command that is to have a disk of its own at `folder`. */
function ownDisk(folder: string, mib: number): string[] {
  const script = `mkdir -p "$0" && mount -t tmpfs -o size=${mib}m tmpfs "$0" && exec "$@"`;
  return ['unshare', ...namespaces, '--propagation', 'private', '--', 'sh', '-c', script, folder];
}

/** Asks again and again until there is an answer; the error says what did not come to be. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
  limitMs = LIMIT_MS,
): Promise<T> {
  const end = Date.now() + limitMs;
  while (true) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`not within ${limitMs / 1000} s: ${what}`);
    await pause(50);
  }
}

/** What the program prints, for a home of its own. */
export async function runMesh(program: string, home: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, ['--home', home, ...args], { env: environment() });
  return stdout;
}

export class MeshNode {
  url = '';
  token = '';
  addresses: string[] = [];
  mesh!: Mesh;
  #child: ChildProcess | undefined;

  private constructor(
    readonly program: string,
    readonly home: string,
    readonly flags: readonly string[],
    readonly diskMib: number | undefined,
  ) {}

  static async start(program: string, home: string, flags: readonly string[], diskMib?: number): Promise<MeshNode> {
    const node = new MeshNode(program, home, flags, diskMib);
    await node.#up('127.0.0.1:0', ['/ip4/127.0.0.1/tcp/0']);
    return node;
  }

  get logFile(): string {
    return `${this.home}.log`;
  }
  get peer(): string {
    return this.addresses[0]?.split('/p2p/')[1] ?? '';
  }
  /** Where the files of its home can be seen: a disk of its own is there for the node alone. */
  get files(): string {
    return this.diskMib === undefined ? this.home : `/proc/${this.#child?.pid}/root${this.home}`;
  }
  /** Makes its own disk larger. */
  async enlargeDisk(mib: number): Promise<void> {
    const users = namespaces.includes('--user') ? ['--user', '--preserve-credentials'] : [];
    const remount = ['mount', '-o', `remount,size=${mib}m`, this.home];
    await promisify(execFile)('nsenter', ['--target', String(this.#child?.pid), ...users, '--mount', ...remount]);
  }
  /** What a person opens. */
  link(path = ''): string {
    return `${this.url}/${path}#token=${this.token}`;
  }

  /** As a person ends it. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }
  /** As a power cut ends it. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }
  /** With the same home and the same addresses, so that who knew it finds it again. */
  async restart(): Promise<void> {
    await this.stop();
    await this.#up(
      new URL(this.url).host,
      this.addresses.map((address) => address.split('/p2p/')[0] ?? ''),
    );
  }

  async #up(api: string, listen: readonly string[]): Promise<void> {
    const args = ['up', '--home', this.home, '--cache', cacheFolder(), '--no-mdns', '--json', '--api', api];
    args.push(...listen.flatMap((address) => ['--listen', address]), ...this.flags);
    // A node that outlives a killed test would disturb the next one.
    const wrapper = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] : [];
    const disk = this.diskMib === undefined ? [] : ownDisk(this.home, this.diskMib);
    const [command = '', ...rest] = [...disk, ...wrapper, this.program, ...args];
    const log = await open(this.logFile, 'a');
    const child = spawn(command, rest, { env: environment(), stdio: ['ignore', 'pipe', log.fd] });
    await log.close();
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    const facts = await this.#facts(child);
    const [url = '', token = ''] = facts.api.split('/#token=');
    [this.url, this.token, this.addresses] = [url, token, facts.addresses];
    this.mesh = await connect({ url, token });
  }

  async #facts(child: ChildProcess): Promise<Facts> {
    if (child.stdout === null) throw new Error('the node has no output');
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      child.stdout.resume();
      return JSON.parse(line) as Facts;
    }
    throw new Error(`the node did not start: ${(await readFile(this.logFile, 'utf8')).slice(-2000)}`);
  }

  async #end(how: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(how);
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
  }
}

async function didOf(program: string, home: string): Promise<string> {
  return (JSON.parse(await runMesh(program, home, ['node', 'id', '--json'])) as { did: string }).did;
}

async function found(program: string, homes: readonly string[], options: FederationOptions): Promise<void> {
  const founders = homes.slice(0, options.founders ?? 1);
  const dids = await Promise.all(founders.map((home) => didOf(program, home)));
  const others = dids.slice(1).flatMap((did) => ['--founder', did]);
  await runMesh(program, homes[0] ?? '', ['federation', 'found', 'test', ...others, ...(options.flags ?? [])]);
}

async function knowEachOther(nodes: readonly MeshNode[]): Promise<void> {
  for (const { mesh } of nodes)
    await until('the nodes know each other', async () => {
      const peers = await unwrap(mesh.api.GET('/api/v1/peers'));
      return peers.filter((peer) => peer.connected && peer.resources !== null).length >= nodes.length - 1;
    });
}

async function haveAccounts(nodes: readonly MeshNode[], founders: number): Promise<void> {
  for (const [i, { mesh }] of nodes.entries())
    await until('each node of a federation has its account', async () => {
      const params = { path: { account: 'self' } };
      const account = await unwrap(mesh.api.GET('/api/v1/ledger/accounts/{account}', { params }));
      const ledger = await unwrap(mesh.api.GET('/api/v1/ledger'));
      // Each validator's first transaction is one that nobody asked for.
      return account.exists && account.sequence >= (i < founders ? 1 : 0) && ledger.waiting === 0;
    });
}

async function putDown(members: readonly MeshNode[], bond: number): Promise<void> {
  for (const { mesh } of members) {
    const body = { kind: 'bond', amount: String(bond), wait: 'final' };
    await unwrap(mesh.api.POST('/api/v1/ledger/transactions', { body }));
  }
  for (const { mesh } of members)
    await until('the ledger knows what a member can run', async () => {
      const params = { path: { account: 'self' } };
      return (await unwrap(mesh.api.GET('/api/v1/ledger/accounts/{account}', { params }))).attestation !== null;
    });
}

async function invitation(first: MeshNode, gift: number | undefined): Promise<string> {
  const body = gift === undefined ? {} : { credits: gift };
  return (await unwrap(first.mesh.api.POST('/api/v1/invitations', { body }))).token;
}

/** Nodes that all know each other and what each can do; of a federation each has its account, too. */
export async function startMesh(options: MeshNodesOptions): Promise<RunningMesh> {
  const program = options.program ?? meshProgram();
  if (program === undefined) throw new Error('MESH names no program: set it to a built mesh');
  const { federation } = options;
  const founders = federation?.founders ?? 1;
  const folder = await mkdtemp(join(tmpdir(), 'mesh-js-'));
  const homes = Array.from({ length: options.nodes }, (_, i) => join(folder, `node${i}`));
  const nodes: MeshNode[] = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    if (federation !== undefined) await found(program, homes, federation);
    for (const [i, home] of homes.entries()) {
      const join = nodes.map((node) => node.addresses[0] ?? '');
      const [first] = nodes;
      if (federation !== undefined && first !== undefined)
        join.unshift(await invitation(first, i >= founders ? federation.gift : undefined));
      const flags = [...(options.flags ?? []), ...join.flatMap((one) => ['--join', one])];
      nodes.push(await MeshNode.start(program, home, flags, options.diskMib));
    }
    await knowEachOther(nodes);
    if (federation !== undefined) await haveAccounts(nodes, founders);
    if (federation?.bond !== undefined) await putDown(nodes.slice(founders), federation.bond);
    const [first] = nodes;
    if (first === undefined) throw new Error('a mesh has at least one node');
    return { nodes, first, folder, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
