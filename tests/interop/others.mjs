// What the tests with other people's IPFS nodes share: a mesh node, folders with contents of every kind, and comparing them.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const runFile = promisify(execFile);
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MESH_')));

/// Bytes that do not repeat; the same for the same seed.
export const noise = (size, seed) => {
  const parts = [];
  for (let i = 0; i * 32 < size; i++) parts.push(createHash('sha256').update(`${seed} ${i}`).digest());
  return Buffer.concat(parts).subarray(0, size);
};

/// Makes a folder of files: small ones, an empty one, larger ones, the largest of so many bytes, and folders.
export const makeFolder = (path, seed, largest = 5 * 1024 * 1024 + 77) => {
  mkdirSync(join(path, 'in', 'deep'), { recursive: true });
  writeFileSync(join(path, 'hello.txt'), `hello from ${seed}\n`);
  writeFileSync(join(path, 'empty'), '');
  writeFileSync(join(path, 'in', 'one chunk'), noise(Math.min(1024 * 1024, largest >> 2), seed));
  writeFileSync(join(path, 'in', 'many chunks'), noise(largest, `${seed} more`));
  writeFileSync(join(path, 'in', 'deep', 'ünïcode.txt'), 'below\n');
};

/// Relative path to SHA-256 of every file.
export const hashesOf = (path) => {
  const hashes = new Map();
  const walk = (folder) => {
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      if (statSync(file).isDirectory()) walk(file);
      else hashes.set(relative(path, file), createHash('sha256').update(readFileSync(file)).digest('hex'));
    }
  };
  walk(path);
  return new Map([...hashes].sort());
};

export const assertEqualFolders = (a, b) => assert.deepEqual(hashesOf(a), hashesOf(b));

/// A child process that ends with the test; its first line of output that `wanted` takes.
export const start = async (program, args, options, wanted) => {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  const stopped = new Promise((resolve) => child.once('exit', resolve));
  const line = await Promise.race([
    new Promise((resolve) => {
      createInterface({ input: child.stdout }).on('line', (text) => wanted(text) && resolve(text));
    }),
    stopped.then((code) => Promise.reject(new Error(`${program} ${args.join(' ')} ended with ${code}`))),
  ]);
  const stop = async () => {
    child.kill('SIGTERM');
    await stopped;
  };
  return { line, stop };
};

/// A mesh node on loopback and what its command line says.
export const startMesh = async (mesh, home) => {
  const { line, stop } = await start(
    mesh,
    ['up', '--home', home, '--no-mdns', '--json', '--api', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0'],
    { env },
    () => true,
  );
  const { addresses, api } = JSON.parse(line);
  const [url, token] = api.split('/#token=');
  const cli = async (...args) =>
    (await runFile(mesh, ['--home', home, ...args], { env, encoding: 'utf8', maxBuffer: 1 << 26 })).stdout.trim();
  return { address: addresses[0], url, token, cli, stop };
};

/// Runs the test with a folder that is removed after it, and what it started stopped.
export const withFolder = async (name, test) => {
  const folder = mkdtempSync(join(tmpdir(), `mesh-${name}-`));
  const cleanups = [];
  try {
    await test(folder, (cleanup) => cleanups.unshift(cleanup));
  } finally {
    for (const cleanup of cleanups) await cleanup();
    rmSync(folder, { recursive: true, force: true });
  }
};
