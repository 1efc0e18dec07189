import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unwrap } from '../src/index.js';
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
    const node = await unwrap(mesh.nodes[0]!.mesh.api.GET('/api/v1/node'));
    expect(node.peer).toBe(mesh.nodes[0]!.peer);
    expect(node.peers).toBe(1);
  });
  it('are found at the same address after a restart', async () => {
    const [node] = mesh.nodes;
    const { url, token } = node!;
    await node!.restart();
    expect(node).toMatchObject({ url, token });
    expect((await unwrap(node!.mesh.api.GET('/api/v1/node'))).boot).toBe(2);
  });
});
