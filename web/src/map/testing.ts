import { random } from '../results/testing';
import type { Peer, Topology } from '../data/model';

export const SELF = 'self-node';

/** A mesh of this many peers, the same for the same seed. */
export function meshOf(peers: number, seed = 1): { topology: Topology; peers: Peer[] } {
  const next = random(seed);
  const made = Array.from({ length: peers }, (_, i): Peer => {
    const cores = 1 + Math.floor(next() * 32);
    return {
      peer: `12D3KooW${Math.floor(next() * 2 ** 48).toString(36)}${i}`,
      short: `peer${i}`,
      connected: true,
      address: `/ip4/192.0.2.${i % 256}/tcp/4001`,
      transport: 'tcp',
      found: ['mdns', 'kademlia', 'bootstrap', 'dialed', 'inbound'][i % 5]!,
      outbound: i % 2 === 0,
      agent: 'meshwork/0.1.0',
      rtt_us: Math.round(10 ** (2 + next() * 3.5)),
      jitter_us: 10,
      penalty: '',
      resources: {
        agent: 'meshwork/0.1.0',
        engine: 'wasmtime',
        policy: '',
        cores,
        memory_mb: 8192,
        gpu_flops: 0,
        gpus: i % 7 === 0 ? ['GPU'] : [],
        fuel_per_second: 1e9,
        running: Math.floor(next() * cores),
        queued: 0,
        accepts_work: i % 3 !== 0,
        services: [],
      },
    };
  });
  return { topology: topologyOf(made), peers: made };
}

export function topologyOf(peers: readonly Peer[]): Topology {
  return {
    nodes: [
      { peer: SELF, self: true, agent: 'meshwork/0.1.0', resources: null },
      ...peers.map(({ peer, agent, resources }) => ({ peer, self: false, agent, resources })),
    ],
    links: peers.map(({ peer, transport, rtt_us }) => ({ source: SELF, target: peer, transport, rtt_us })),
  };
}
