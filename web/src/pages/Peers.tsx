import { unwrap } from 'meshwork';
import { useState } from 'react';
import { useLive, useSession } from '../app/session';
import type { Peer, Schemas } from '../data/model';
import { useAction, useSlowRefresh } from '../data/read';
import { mesh as line } from '../lib/commands';
import { count, roundTrip, shortPeer } from '../lib/format';
import { visible } from '../lib/visible';
import { Badge, Button, Command, Copy, Empty, PageHead, Panel, PeerName, StateBadge, TextField } from '../ui/kit';
import { resourceColumns } from '../ui/peers';
import { Table } from '../ui/table';

export default function Peers() {
  const { live } = useSession();
  const peers = useLive((state) => state.peers);
  // Load and round trips have no events of their own.
  useSlowRefresh(() => live.readPeers());
  return (
    <>
      <PageHead title="Peers" sub="Nodes that are connected, or that this one has heard of." />
      <Panel title={peers ? `${count(peers.filter((peer) => peer.connected).length)} connected` : 'Reading…'}>
        {peers?.length === 0 ? (
          <Empty title="Nobody yet: dial a node, or invite one" />
        ) : (
          <PeerTable peers={peers ?? []} />
        )}
        <Command line={line('peers', 'ls')} />
      </Panel>
      <div className="columns">
        <Dial />
        <Doctor />
        <Invite />
      </div>
    </>
  );
}

function PeerTable({ peers }: { peers: readonly Peer[] }) {
  return (
    <Table
      label="Peers"
      rows={peers}
      rowKey={(peer) => peer.peer}
      columns={[
        { key: 'peer', title: 'Peer', render: (peer) => <PeerName peer={peer.peer} /> },
        {
          key: 'state',
          title: 'State',
          render: (peer) => (
            <Badge tone={peer.connected ? 'good' : 'neutral'}>{peer.connected ? 'connected' : 'away'}</Badge>
          ),
        },
        { key: 'rtt', title: 'Round trip', align: 'end', render: (peer) => roundTrip(peer.rtt_us) },
        { key: 'way', title: 'By', render: (peer) => visible(peer.transport) },
        { key: 'found', title: 'Found', render: (peer) => visible(peer.found) },
        {
          key: 'address',
          title: 'Address',
          render: (peer) => <span className="mono small">{visible(peer.address)}</span>,
        },
        ...resourceColumns,
        {
          key: 'penalty',
          title: '',
          render: (peer) => (peer.penalty === '' ? null : <Badge tone="bad">{visible(peer.penalty)}</Badge>),
        },
        { key: 'ping', title: '', render: (peer) => <Ping peer={peer.peer} /> },
      ]}
    />
  );
}

function Ping({ peer }: { peer: string }) {
  const { mesh, say } = useSession();
  const ping = useAction(async () => {
    const answer = await unwrap(mesh.api.POST('/api/v1/peers/{peer}/ping', { params: { path: { peer } } }));
    say('done', `${shortPeer(peer)} answered after ${roundTrip(answer.rtt_us)}.`);
  });
  return (
    <Button tone="quiet" busy={ping.busy} onClick={() => ping.run()} title={line('peers', 'ping', peer)}>
      Ping
    </Button>
  );
}

function Dial() {
  const { mesh, say } = useSession();
  const [address, setAddress] = useState('');
  const dial = useAction(async () => {
    const answer = await unwrap(mesh.api.POST('/api/v1/dial', { body: { address: address.trim() } }));
    say('done', `Connected to ${shortPeer(answer.peer)}.`);
    setAddress('');
  });
  return (
    <Panel title="Dial">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (address.trim() !== '') dial.run();
        }}
      >
        <TextField
          label="Address"
          value={address}
          onValue={setAddress}
          placeholder="/ip4/192.0.2.1/tcp/4001/p2p/12D3…"
        />
        <div className="row">
          <Button type="submit" busy={dial.busy} disabled={address.trim() === ''}>
            Dial
          </Button>
        </div>
      </form>
      <Command line={line('up', '--join', address.trim() || 'MULTIADDR')} />
    </Panel>
  );
}

function Doctor() {
  const { mesh } = useSession();
  const [target, setTarget] = useState('');
  const [report, setReport] = useState<Schemas['Reach']>();
  const look = useAction(async () => {
    setReport(await unwrap(mesh.api.GET('/api/v1/doctor', { params: { query: { target: target.trim() } } })));
  });
  return (
    <Panel title="Why is a peer not reached?">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (target.trim() !== '') look.run();
        }}
      >
        <TextField label="PeerId or address" value={target} onValue={setTarget} />
        <div className="row">
          <Button type="submit" busy={look.busy} disabled={target.trim() === ''}>
            Find out
          </Button>
        </div>
      </form>
      {report && (
        <div aria-live="polite" className="stack">
          {report.already_connected && <p className="note note-good">It is connected already.</p>}
          {report.attempts.map((attempt, index) => (
            <p key={index}>
              <StateBadge state={attempt.outcome} /> <span className="mono small">{visible(attempt.address)}</span>:{' '}
              {visible(attempt.text)}
            </p>
          ))}
          {!report.already_connected && report.attempts.length === 0 && (
            <p className="muted">No address of it is known.</p>
          )}
        </div>
      )}
      <Command line={line('doctor', target.trim() || null)} />
    </Panel>
  );
}

function Invite() {
  const { mesh } = useSession();
  const [credits, setCredits] = useState('0');
  const [uses, setUses] = useState('1');
  const [token, setToken] = useState<string>();
  const isRight =
    /^\d{1,10}$/.test(credits) &&
    Number(credits) <= 1e9 &&
    /^\d{1,4}$/.test(uses) &&
    Number(uses) >= 1 &&
    Number(uses) <= 1000;
  const invite = useAction(async () => {
    const body = { credits: Number(credits), uses: Number(uses) };
    setToken((await unwrap(mesh.api.POST('/api/v1/invitations', { body }))).token);
  });
  return (
    <Panel title="Invite">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (isRight) invite.run();
        }}
      >
        <div className="form">
          <TextField
            label="Credits that go with it"
            inputMode="numeric"
            value={credits}
            onValue={setCredits}
            hint="Out of this node's balance"
          />
          <TextField label="How many may use it" inputMode="numeric" value={uses} onValue={setUses} hint="1 to 1000" />
        </div>
        <div className="row">
          <Button type="submit" busy={invite.busy} disabled={!isRight}>
            Make a token
          </Button>
        </div>
      </form>
      {token !== undefined && (
        <p className="note note-good">
          <span className="mono">{visible(token)}</span> <Copy text={token} label="Copy the token" />
        </p>
      )}
      <Command line={line('peers', 'invite', '--credits', credits, '--uses', uses)} />
    </Panel>
  );
}
