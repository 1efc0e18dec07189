// Kubo fetches a folder from a mesh node and the mesh node one from Kubo, both by Bitswap, over loopback alone: Kubo has no
// routing, no bootstrap nodes and no discovery. KUBO names the program; without it this says so and ends with 77.
// usage: KUBO=PATH_OF_ipfs node kubo_interop.mjs PATH_OF_mesh
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assertEqualFolders, makeFolder, start, startMesh, withFolder } from '../others.mjs';

const [mesh] = process.argv.slice(2);
const kubo = process.env.KUBO;
if (!kubo || !existsSync(kubo)) {
  console.log('skipped: KUBO does not name the program ipfs of Kubo');
  process.exit(77);
}

await withFolder('kubo', async (folder, finally_) => {
  const env = { PATH: process.env.PATH, HOME: folder, IPFS_PATH: join(folder, 'ipfs'), IPFS_TELEMETRY: 'off' };
  const ipfs = async (...args) =>
    (
      await promisify(execFile)(kubo, args, { env, encoding: 'utf8', timeout: 120_000, maxBuffer: 1 << 26 })
    ).stdout.trim();
  await ipfs('init', '--empty-repo', '--profile', 'test,unixfs-v1-2025');
  const settings = {
    'Routing.Type': 'none',
    'AutoConf.Enabled': false,
    'AutoTLS.Enabled': false,
    'Discovery.MDNS.Enabled': false,
    Bootstrap: [],
    'Swarm.DisableNatPortMap': true,
    'Addresses.Swarm': ['/ip4/127.0.0.1/tcp/0'],
    'DNS.Resolvers': {},
    'Ipns.DelegatedPublishers': [],
    'Routing.DelegatedRouters': [],
  };
  for (const [name, value] of Object.entries(settings)) await ipfs('config', '--json', name, JSON.stringify(value));
  const daemon = await start(kubo, ['daemon'], { env }, (line) => line.startsWith('Daemon is ready'));
  finally_(daemon.stop);
  const node = await startMesh(mesh, join(folder, 'home'));
  finally_(node.stop);

  const ours = join(folder, 'ours');
  makeFolder(ours, 'the mesh');
  const cid = await node.cli('assets', 'add', ours);
  await ipfs('swarm', 'connect', node.address);
  await ipfs('get', cid, '-o', join(folder, 'got by kubo'));
  assertEqualFolders(join(folder, 'got by kubo'), ours);
  assert.equal(await ipfs('add', '-rQ', '--only-hash', ours), cid, 'the same folder has another CID in Kubo');
  console.log(`Kubo ${await ipfs('version', '-n')} fetched ${cid} from the mesh node, and names the folder so too`);

  // What the node has and does not declare is not for Kubo: it is told so at once, as of what nobody has.
  const secret = Buffer.from('not declared');
  const response = await fetch(`${node.url}/api/v1/assets?declare=0`, {
    method: 'POST',
    headers: { authorization: `Bearer ${node.token}`, 'content-type': 'application/octet-stream' },
    body: secret,
  });
  const hidden = (await response.json()).cid;
  await assert.rejects(ipfs('--timeout', '3s', 'block', 'get', hidden));

  const theirs = join(folder, 'theirs');
  makeFolder(theirs, 'Kubo');
  const added = await ipfs('add', '-rQ', theirs);
  await node.cli('assets', 'get', added, '-o', join(folder, 'got by mesh'));
  assertEqualFolders(join(folder, 'got by mesh'), theirs);
  console.log(`the mesh node fetched ${added} from Kubo, to which it was connected`);

  // In the layout that Kubo has had for years, by the address of the peer, a single file with CIDs of version 0.
  writeFileSync(join(folder, 'old'), Buffer.concat(Array(1000).fill(Buffer.from('the old layout\n'.repeat(50)))));
  const old = await ipfs(
    'add',
    '-Q',
    '--cid-version=0',
    '--raw-leaves=false',
    '--chunker=size-262144',
    join(folder, 'old'),
  );
  assert.ok(old.startsWith('Qm'));
  const address = JSON.parse(await ipfs('id')).Addresses.find((text) => text.startsWith('/ip4/127.0.0.1/tcp/'));
  await node.cli('assets', 'get', old, '--from', address, '-o', join(folder, 'old again'));
  assert.equal(
    await ipfs(
      'add',
      '-Q',
      '--cid-version=0',
      '--raw-leaves=false',
      '--chunker=size-262144',
      join(folder, 'old again'),
    ),
    old,
  );
  console.log(`and ${old}`);
});
