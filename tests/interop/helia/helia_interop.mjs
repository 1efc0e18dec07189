// Helia fetches a folder from a mesh node through the trustless gateway and through Bitswap, and the mesh node one from
// Helia. Over loopback alone: Helia has no bootstrap nodes, no delegated routing and no gateway but the node's.
// usage: node helia_interop.mjs PATH_OF_mesh NODE_MODULES_PARENT
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import workers from 'node:worker_threads';
import zlib from 'node:zlib';
import { packagesOf } from '../packages.mjs';
import { assertEqualFolders, hashesOf, makeFolder, startMesh, withFolder } from '../others.mjs';

const [mesh, modules] = process.argv.slice(2);
// What Helia's packages take for granted and Node 20 lacks; none of it is used here.
workers.markAsUncloneable ??= () => {};
zlib.createZstdDecompress ??= () => {};

const load = packagesOf(modules);
const { createHeliaLight } = await load('helia');
const { withHTTP } = await load('@helia/http');
const { withBitswap } = await load('@helia/bitswap');
const { withLibp2pLight } = await load('@helia/libp2p');
const { unixfs } = await load('@helia/unixfs');
const { tcp } = await load('@libp2p/tcp');
const { noise } = await load('@chainsafe/libp2p-noise');
const { yamux } = await load('@chainsafe/libp2p-yamux');
const { identify } = await load('@libp2p/identify');
const { multiaddr } = await load('@multiformats/multiaddr');
const { fixedSize } = await load('ipfs-unixfs-importer/chunker');
const { CID } = await load('multiformats/cid');
const { identity: identityHash } = await load('multiformats/hashes/identity');

/// A router that knows of one provider, for all there is. Helia asks on and on where there is no router.
const everythingIsAt = (provider) => ({
  name: 'the mesh node',
  async *findProviders() {
    yield { ...provider, router: 'the mesh node' };
  },
});

/// Relative path to SHA-256 of every file below the folder, as Helia reads it.
const hashesAt = async (helia, cid, path = '') => {
  const fs = unixfs(helia);
  const signal = AbortSignal.timeout(60_000);
  const hashes = [];
  for await (const entry of fs.ls(cid, { signal })) {
    const name = join(path, entry.name);
    if ((await fs.stat(entry.cid, { signal })).type === 'directory') {
      hashes.push(...(await hashesAt(helia, entry.cid, name)));
      continue;
    }
    const hash = createHash('sha256');
    for await (const part of fs.cat(entry.cid, { signal })) hash.update(part);
    hashes.push([name, hash.digest('hex')]);
  }
  return path === '' ? new Map(hashes.sort()) : hashes;
};

const addFolder = async (fs, path) => {
  let cid = await fs.addDirectory();
  for (const name of readdirSync(path)) {
    const file = join(path, name);
    const child = statSync(file).isDirectory()
      ? await addFolder(fs, file)
      : await fs.addBytes(readFileSync(file), { chunker: fixedSize({ chunkSize: 128 * 1024 }) });
    cid = await fs.cp(child, cid, name);
  }
  return cid;
};

await withFolder('helia', async (folder, finally_) => {
  const node = await startMesh(mesh, join(folder, 'home'));
  finally_(node.stop);
  const ours = join(folder, 'ours');
  makeFolder(ours, 'the mesh');
  const cid = CID.parse(await node.cli('assets', 'add', ours));

  const gateway = new URL(node.url);
  const http = withHTTP(createHeliaLight(), {
    delegatedRouters: [],
    recursiveGateways: [],
    allowInsecure: true,
    allowLocal: true,
    transformRequestInit: (init) => ({ ...init, headers: { ...init?.headers, authorization: `Bearer ${node.token}` } }),
  });
  http.addRouter(
    everythingIsAt({
      id: CID.createV1(0x0920, identityHash.digest(new TextEncoder().encode(node.url))),
      multiaddrs: [multiaddr(`/ip4/${gateway.hostname}/tcp/${gateway.port}/http`)],
      protocols: ['transport-ipfs-gateway-http'],
    }),
  );
  const byHttp = await http.start();
  finally_(() => byHttp.stop());
  assert.deepEqual(await hashesAt(byHttp, cid), hashesOf(ours));
  console.log(`Helia fetched ${cid} through the gateway`);

  const byBitswap = await withBitswap(
    withLibp2pLight(createHeliaLight(), {
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false },
      services: { identify: identify() },
    }),
  ).start();
  finally_(() => byBitswap.stop());
  await byBitswap.libp2p.dial(multiaddr(node.address));
  assert.deepEqual(await hashesAt(byBitswap, cid), hashesOf(ours));
  console.log(`Helia fetched ${cid} by Bitswap`);

  // All of it below 1 MiB: js-yamux sends what it has and the window takes in one frame, and rust-yamux ends a connection
  // that brings a larger one.
  const theirs = join(folder, 'theirs');
  makeFolder(theirs, 'Helia', 600_000);
  const added = await addFolder(unixfs(byBitswap), theirs);
  const address = byBitswap.libp2p.getMultiaddrs()[0].toString();
  await node.cli('assets', 'get', added.toString(), '--from', address, '-o', join(folder, 'got by mesh'));
  assertEqualFolders(join(folder, 'got by mesh'), theirs);
  console.log(`the mesh node fetched ${added} from Helia`);
});
