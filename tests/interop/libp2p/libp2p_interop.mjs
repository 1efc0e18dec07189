// A peer that shares no code with Meshwork: js-libp2p joins a real node over TCP and over WebSocket, pings it, hears
// what it says of itself and the intent of a job, and checks both as anybody could who has read docs/protocols.md.
// usage: node libp2p_interop.mjs PATH_OF_mesh NODE_MODULES_PARENT
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packagesOf } from '../packages.mjs';

const [mesh, modules] = process.argv.slice(2);
const load = packagesOf(modules);
const { createLibp2p } = await load('libp2p');
const { tcp } = await load('@libp2p/tcp');
const { webSockets } = await load('@libp2p/websockets');
const { noise } = await load('@chainsafe/libp2p-noise');
const { yamux } = await load('@chainsafe/libp2p-yamux');
const { identify } = await load('@libp2p/identify');
const { ping } = await load('@libp2p/ping');
const { gossipsub } = await load('@libp2p/gossipsub');
const { publicKeyFromRaw } = await load('@libp2p/crypto/keys');
const { multiaddr } = await load('@multiformats/multiaddr');
const dagCbor = await load('@ipld/dag-cbor');
const { CID } = await load('multiformats/cid');
const digests = await load('multiformats/hashes/digest');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
const cidOf = (bytes) => CID.createV1(dagCbor.code, digests.create(0x12, sha256(bytes)));
const zero = Uint8Array.of(0);
const signingInput = (type, federation, body) =>
  Buffer.concat([Buffer.from('meshwork/1'), zero, Buffer.from(type), zero, federation.bytes, zero, sha256(body)]);

/// The versions of the records that this reads.
const versions = { 'peer-info': 1, 'task-intent': 2 };

/// What must be true of any record on a topic; gives the record.
const check = async (data, type, federation, peer) => {
  const envelope = dagCbor.decode(data);
  assert.deepEqual(Object.keys(envelope).sort(), ['body', 'key', 'sig']);
  assert.deepEqual(Buffer.from(dagCbor.encode(envelope)), Buffer.from(data), 'the envelope is not canonical DAG-CBOR');
  const { body, sig } = envelope;
  const key = publicKeyFromRaw(envelope.key);
  assert.equal(key.type, 'Ed25519');
  assert.equal(key.toString(), peer, 'the key that signed is not the key that the peer is named by');
  const signed = signingInput(type, federation, body);
  assert.equal(await key.verify(signed, sig), true, `the signature of a ${type} is wrong`);
  // The same signature says nothing of another type, another federation or another body.
  const changed = Uint8Array.from(body);
  changed[changed.length - 1] ^= 1;
  const otherwise = [
    signingInput('compute-offer', federation, body),
    signingInput(type, cidOf(zero), body),
    signingInput(type, federation, changed),
  ];
  for (const other of otherwise) assert.equal(await key.verify(other, sig), false);
  const record = dagCbor.decode(body);
  assert.equal(record.type, type);
  assert.equal(record.v, versions[type]);
  assert.deepEqual(Buffer.from(dagCbor.encode(record)), Buffer.from(body), 'the record is not canonical DAG-CBOR');
  return { record, cid: cidOf(body) };
};

const folder = mkdtempSync(join(tmpdir(), 'mesh-libp2p-'));
const home = join(folder, 'home');
const script = join(folder, 'hello.wat');
writeFileSync(
  script,
  `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))`,
);
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MESH_')));
const cli = (...args) => execFileSync(mesh, ['--home', home, ...args], { env, encoding: 'utf8' });

const listen = ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'];
const node = spawn(
  mesh,
  ['up', '--home', home, '--no-mdns', '--json', '--api', '127.0.0.1:0', ...listen.flatMap((at) => ['--listen', at])],
  { env, stdio: ['ignore', 'pipe', 'inherit'] },
);
const stopped = new Promise((resolve) => node.once('exit', resolve));

const join_over = async (name, address, transport, facts) => {
  const heard = new Map();
  const waiting = new Map();
  // Messages by topic, kept until they are asked for.
  const next = async (topic, wanted) => {
    while (true) {
      const list = heard.get(topic) ?? [];
      heard.set(topic, []);
      for (const message of list) {
        const found = await wanted(message);
        if (found !== undefined) return found;
      }
      if ((heard.get(topic) ?? []).length === 0) await new Promise((resolve) => waiting.set(topic, resolve));
    }
  };
  const peer = await createLibp2p({
    start: false,
    addresses: { listen: [] },
    transports: [transport()],
    connectionEncrypters: [noise()],
    // rust-yamux closes a connection that sends a frame above 1 MiB, and js-yamux fills the window if it may.
    streamMuxers: [yamux({ maxMessageSize: 64 * 1024 })],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      gossip: gossipsub({ msgIdFn: (message) => sha256(message.data), allowPublishToZeroTopicPeers: true }),
    },
  });
  peer.services.gossip.addEventListener('message', ({ detail }) => {
    heard.set(detail.topic, [...(heard.get(detail.topic) ?? []), detail]);
    waiting.get(detail.topic)?.();
  });
  await peer.start();
  try {
    const topics = {
      intents: `/meshwork/1/${facts.federation}/intents`,
      all: `/meshwork/1/${facts.federation}/capabilities`,
    };
    // Before there is a connection, so that the node learns of both in one message.
    for (const topic of Object.values(topics)) peer.services.gossip.subscribe(topic);
    const connection = await peer.dial(multiaddr(address));
    assert.equal(connection.remotePeer.toString(), facts.peer);
    assert.equal(connection.encryption, '/noise');
    assert.equal(connection.multiplexer, '/yamux/1.0.0');
    const rtt_ms = await peer.services.ping.ping(connection.remotePeer);
    assert.ok(rtt_ms >= 0);
    const identified = await peer.services.identify.identify(connection);
    assert.ok(identified.protocols.includes('/ipfs/ping/1.0.0'));
    assert.ok(identified.protocols.some((protocol) => protocol.startsWith('/meshsub/')));

    const federation = CID.parse(facts.federation);
    // The node has heard of our subscriptions once something arrives on either topic; this one speaks every ten seconds.
    const info = await next(topics.all, (message) => check(message.data, 'peer-info', federation, facts.peer));
    assert.ok(info.record.cores >= 1 && info.record.memory_mb > 0);
    const seen = JSON.parse(cli('peers', '--json')).find((row) => row.peer === peer.peerId.toString());
    assert.equal(seen?.connected, true);

    const id = JSON.parse(cli('run', script, '--detach', '--json', '--label', name)).id;
    const intent = await next(topics.intents, async (message) => {
      assert.equal(message.type, 'signed');
      assert.equal(message.from.toString(), facts.peer);
      const found = await check(message.data, 'task-intent', federation, facts.peer);
      // Another job's intent may be told again.
      return found.cid.toString() === id ? found : undefined;
    });
    const { record } = intent;
    assert.equal(record.label, name);
    assert.equal(record.shards, 1);
    assert.equal(record.fee, 0);
    const described = JSON.parse(cli('job', 'describe', id, '--json'));
    assert.equal(CID.asCID(record.function).toString(), described.function);
    assert.equal(CID.asCID(record.inputs).toString(), described.inputs);
    assert.equal(record.scope.fuel, described.scope.fuel);
    console.log(`${name}: joined ${facts.peer}, ping ${rtt_ms} ms, intent ${id} decoded and its signature checked`);
  } finally {
    await peer.stop();
  }
};

try {
  const [line] = await Promise.race([
    new Promise((resolve) => createInterface({ input: node.stdout }).once('line', (text) => resolve([text]))),
    stopped.then((code) => Promise.reject(new Error(`mesh up ended with ${code}`))),
  ]);
  const { addresses } = JSON.parse(line);
  const status = JSON.parse(cli('node', 'status', '--json'));
  const facts = { peer: status.peer, federation: status.federation.cid };
  const find = (pattern) => {
    const address = addresses.find((text) => pattern.test(text));
    assert.ok(address !== undefined, `no address like ${pattern} in ${addresses.join(' ')}`);
    return address.includes('/p2p/') ? address : `${address}/p2p/${facts.peer}`;
  };
  await join_over('tcp', find(/\/tcp\/\d+(\/p2p\/\w+)?$/), tcp, facts);
  await join_over('websocket', find(/\/ws(\/p2p\/\w+)?$/), webSockets, facts);
} finally {
  node.kill('SIGTERM');
  await stopped;
  rmSync(folder, { recursive: true, force: true });
}
