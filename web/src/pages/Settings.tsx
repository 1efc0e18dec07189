import type { ReactNode } from 'react';
import { useLive, useSession } from '../app/session';
import { useSlowRefresh } from '../data/read';
import { mesh } from '../lib/commands';
import { bytes, clock, compact, count } from '../lib/format';
import { visible } from '../lib/visible';
import { Badge, Command, Empty, Facts, Id, PageHead, Panel } from '../ui/kit';
import { Table } from '../ui/table';

/** Settings that no route tells or sets: the program's own command says what they are and from where. */
const settings: readonly (readonly [what: string, ...words: string[]])[] = [
  ['All settings as they are, and what gave each its value', 'node', 'config', 'list', '--show-origin'],
  ['Runs at a time', 'up', '--slots', '2'],
  ['Memory that one task may have', 'up', '--memory', '1024'],
  ['Take no work', 'up', '--no-work'],
  ['Price of 10^9 fuel, in micro-credits', 'up', '--pricing-per-gfuel', '50'],
  ['Least price of a shard', 'up', '--pricing-minimum', '1000'],
  ['Off the price while idle, in per cent', 'up', '--pricing-idle-discount', '20'],
  ['Most that demand may drive the price to, in per cent', 'up', '--pricing-ceiling', '300'],
  ['Room for fetched files', 'up', '--fetched-gib', '20'],
  ['Rate of content to peers', 'up', '--upload-mbit', '10'],
  ['Rate of content from peers', 'up', '--download-mbit', '50'],
  ['Address of this API', 'up', '--api', '127.0.0.1:4747'],
  ['Address for peers', 'up', '--listen', '/ip4/0.0.0.0/tcp/4001'],
  ['Carry connections of peers behind NATs', 'up', '--relay', 'on'],
];

export default function Settings() {
  const { live } = useSession();
  const node = useLive((state) => state.node);
  // How many run and wait here has no event of its own.
  useSlowRefresh(() => live.readNode());
  if (!node) return <Empty title="Reading…" />;
  const { resources, reach } = node;
  return (
    <>
      <PageHead
        title="Settings"
        sub="What this node is and does. A running node's settings are changed by starting it anew."
      />
      <Panel title="Node">
        <Facts
          items={[
            ['State', <Badge tone={node.ready ? 'good' : 'bad'}>{node.ready ? 'ready' : visible(node.reason)}</Badge>],
            ['Version', visible(node.version)],
            ['Begun', clock(node.started)],
            ['Starts so far', count(node.boot)],
            ['Peers connected', count(node.peers)],
            ['Jobs remembered', count(node.jobs)],
            ['Federation', visible(node.federation.name)],
            ['Charter', <Id value={node.federation.cid} />],
            ['PeerId', <Id value={node.peer} full />],
            ['did', <Id value={node.did} full />],
            ['Home', <span className="mono">{visible(node.home)}</span>],
          ]}
        />
        <Command line={mesh('node', 'status')} />
      </Panel>
      <Panel title="What it gives">
        <Facts
          items={[
            ['Work of others', resources.accepts_work ? 'taken' : 'not taken'],
            ['Cores', count(resources.cores)],
            ['Memory for a task', bytes(resources.memory_mb * 2 ** 20)],
            ['Fuel a second', compact(resources.fuel_per_second)],
            ['Runs now', count(resources.running)],
            ['Waits', count(resources.queued)],
            ['GPUs', resources.gpus.length === 0 ? 'none' : visible(resources.gpus.join(', '))],
            ['Services', visible(resources.services.join(', '))],
          ]}
        />
        <details>
          <summary>Engine</summary>
          <p className="mono small">{visible(resources.engine)}</p>
        </details>
      </Panel>
      <Panel title="How it is reached">
        <p>{visible(reach.text)}</p>
        <List
          items={node.addresses.map((address) => (
            <Id value={address} full />
          ))}
        />
        {reach.relays.length > 0 && <List items={reach.relays.map((relay) => visible(relay.text))} />}
        {reach.hole_punches.length > 0 && <List items={reach.hole_punches.map((punch) => visible(punch.text))} />}
        <p className="muted">
          {reach.relaying
            ? 'This node carries connections for others.'
            : 'This node carries no connections for others.'}{' '}
          Of {count(node.dht.roots)} roots that are for everybody, {count(node.dht.announced)} are announced to the DHT.
        </p>
        <Command line={mesh('node', 'doctor')} />
      </Panel>
      <Panel title="What is set by the command line">
        <Table
          label="Settings"
          rows={settings}
          rowKey={([what]) => what}
          columns={[
            { key: 'what', title: 'What', render: ([what]) => what },
            { key: 'command', title: 'Command', render: ([, ...words]) => <Command line={mesh(...words)} /> },
          ]}
        />
      </Panel>
    </>
  );
}

function List({ items }: { items: readonly ReactNode[] }) {
  return (
    <ul>
      {items.map((item, index) => (
        <li key={index}>{item}</li>
      ))}
    </ul>
  );
}
