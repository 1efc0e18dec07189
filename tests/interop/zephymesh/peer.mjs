// A ZephyMesh peer that shares no code with Meshwork (js-libp2p): asks a node for its manifest, then for files.
// usage: node peer.mjs NODE_MODULES_PARENT MULTIADDR PATH...   prints one JSON object: {manifest, files: [{head, sha256, bytes}]}
import { createHash } from 'node:crypto';
import { packagesOf } from '../packages.mjs';

const [modules, address, ...paths] = process.argv.slice(2);
const load = packagesOf(modules);
const { createLibp2p } = await load('libp2p');
const { tcp } = await load('@libp2p/tcp');
const { noise } = await load('@chainsafe/libp2p-noise');
const { yamux } = await load('@chainsafe/libp2p-yamux');
const { identify } = await load('@libp2p/identify');
const { multiaddr } = await load('@multiformats/multiaddr');

const peer = await createLibp2p({
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() },
});

/// All that comes until the other side ends. Not `for await`: that waits for an end which may have come with the first bytes,
/// before anybody could listen.
const whole = (stream) =>
  new Promise((resolve, reject) => {
    const parts = [];
    const end = (event) => (event?.error ? reject(event.error) : resolve(Buffer.concat(parts)));
    stream.addEventListener('message', (event) => parts.push(Buffer.from(event.data.subarray())));
    stream.addEventListener('remoteCloseWrite', end);
    stream.addEventListener('close', end);
    // What it has is given out as soon as somebody listens, and before this.
    if (stream.remoteWriteStatus === 'closed') setImmediate(end);
  });

/// Sends `request` if there is one, and gives all that comes until the other side ends.
const exchange = async (protocol, request) => {
  const stream = await peer.dialProtocol(multiaddr(address), protocol);
  if (request !== undefined) stream.send(Buffer.from(request));
  const answer = await whole(stream);
  await stream.close().catch(() => {});
  return answer;
};

const manifest = JSON.parse((await exchange('/zephymesh/manifest_exchange/1.0.0')).toString());
const files = [];
for (const path of paths) {
  const answer = await exchange('/zephymesh/file_transfer/1.0.0', `${JSON.stringify({ path })}\n`);
  const end = answer.indexOf(0x0a);
  const content = answer.subarray(end + 1);
  files.push({
    head: JSON.parse(answer.subarray(0, end).toString()),
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  });
}
console.log(JSON.stringify({ manifest, files }));
await peer.stop();
