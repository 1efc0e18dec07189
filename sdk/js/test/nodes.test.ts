import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JobFailed, Mesh, asJson, unwrap } from '../src/index.js';
import { meshProgram, startMesh, type RunningMesh } from './mesh_nodes.js';

const program = meshProgram();
if (program === undefined) console.warn('skipped: set MESH to a built mesh to test against real nodes');

describe.skipIf(program === undefined)('two nodes', () => {
  let mesh: RunningMesh;
  beforeAll(async () => {
    mesh = await startMesh({ nodes: 2 });
  });
  afterAll(() => mesh?.stop());

  it('know each other', async () => {
    const node = await unwrap(mesh.first.mesh.api.GET('/api/v1/node'));
    expect(node.peer).toBe(mesh.first.peer);
    expect(node.peers).toBe(1);
  });
  it('map a function over inputs, in order', async () => {
    const { mesh: client } = mesh.first;
    const square = { language: 'python', source: 'print(int(input()) ** 2)' } as const;
    const inputs = Array.from({ length: 20 }, (_, i) => `${i}\n`);
    const results: unknown[] = [];
    for await (const one of client.map(square, inputs, { decode: asJson, verifiers: 0 })) results.push(one);
    expect(results).toEqual(inputs.map((one) => Number(one) ** 2));
    const failing = client.map({ language: 'python', source: 'raise SystemExit(3)' }, ['a'], { verifiers: 0 });
    await expect(failing.next()).rejects.toBeInstanceOf(JobFailed);
  });
  it('give each line of a log once, though the connection is cut', async () => {
    const { url, token } = mesh.first;
    const open = new Set<WebSocket>();
    class Cut extends WebSocket {
      constructor(address: string, protocols: string[]) {
        super(address, protocols);
        open.add(this);
      }
    }
    const source = `import sys
for line in range(40):
    for _ in range(100000):
        pass
    print(line, file=sys.stderr, flush=True)
`;
    const client = new Mesh({ url, token, WebSocket: Cut });
    const job = await client.run({ language: 'python', source }, { verifiers: 0 });
    let text = '';
    for await (const piece of job.logs({ follow: true })) {
      text += piece.text;
      for (const socket of open) socket.terminate();
      open.clear();
    }
    expect(text).toBe(Array.from({ length: 40 }, (_, line) => `${line}\n`).join(''));
  });
  it('run the examples of the README', async () => {
    const folder = fileURLToPath(new URL('..', import.meta.url));
    const text = await readFile(`${folder}README.md`, 'utf8');
    const code = [...text.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1]).join('');
    const file = `${folder}test/.readme.mjs`;
    await promisify(execFile)('npx', ['tsc', '-b', folder]);
    await writeFile(file, code);
    try {
      const env = { ...process.env, MESH_HOME: mesh.first.home };
      const { stdout } = await promisify(execFile)(process.execPath, [file], { env });
      expect(stdout).toMatch(/^HELLO\n/);
      expect(stdout).toContain('true Each block of the file');
      expect(stdout).not.toMatch(/^false/m);
    } finally {
      await rm(file);
    }
  });
  it('are found at the same address after a restart', async () => {
    const node = mesh.first;
    const { url, token } = node;
    await node.restart();
    expect(node).toMatchObject({ url, token });
    expect((await unwrap(node.mesh.api.GET('/api/v1/node'))).boot).toBe(2);
  });
});
