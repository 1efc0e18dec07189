// A job's shards: counted by node, listed by number, and one of them in full.
import { useMemo, useState } from 'react';
import { useLive } from '../app/session';
import type { Job, Shard } from '../data/model';
import { shardStates } from '../data/model';
import { mesh } from '../lib/commands';
import { bytes, compact, count, duration, plural, shortId, shortPeer } from '../lib/format';
import { visible } from '../lib/visible';
import { Badge, Button, Check, Command, Dialog, Empty, Facts, Field, Id, PeerName, StateBadge } from '../ui/kit';
import type { Column } from '../ui/table';
import { Table, VirtualTable } from '../ui/table';
import { ResultPanel } from './ResultPanel';
import type { NodeShare } from './shards';
import { filterShards, sharesOf } from './shards';

function Outcome({ shard }: { shard: Shard }) {
  if (shard.outcome === null) return <span className="muted">–</span>;
  return <Badge tone={shard.outcome.succeeded ? 'good' : 'bad'}>{visible(shard.outcome.text)}</Badge>;
}

function Seats({ shard }: { shard: Shard }) {
  if (shard.seats.length === 0) return <span className="muted">–</span>;
  return (
    <span className="seats">
      {shard.seats.map((seat) => (
        <span
          key={seat.peer}
          className={`seat seat-${seatTone(seat.state)}`}
          title={`${visible(seat.peer)}: ${visible(seat.state)}`}
        >
          {visible(seat.peer.slice(-4))}
          <span className="sr-only"> {visible(seat.state)}</span>
        </span>
      ))}
    </span>
  );
}

function seatTone(state: string): string {
  if (state === 'agreed') return 'good';
  if (state === 'asked' || state === 'committed' || state === 'revealed') return 'active';
  return state === 'disagreed' ? 'bad' : 'warn';
}

function columnsFor(self: string | undefined, open: (shard: Shard) => void): readonly Column<Shard>[] {
  return [
    {
      key: 'number',
      title: 'Shard',
      width: '90px',
      render: (shard) => (
        <Button tone="quiet" onClick={() => open(shard)} aria-label={`Shard ${shard.shard} in full`}>
          {count(shard.shard)}
        </Button>
      ),
    },
    { key: 'state', title: 'State', width: '120px', render: (shard) => <StateBadge state={shard.state} /> },
    {
      key: 'worker',
      title: 'Runs it',
      width: 'minmax(120px, 1fr)',
      render: (shard) =>
        shard.worker ? <PeerName peer={shard.worker} self={self} /> : <span className="muted">–</span>,
    },
    { key: 'seats', title: 'Verify it', width: 'minmax(120px, 1.4fr)', render: (shard) => <Seats shard={shard} /> },
    { key: 'outcome', title: 'Outcome', width: 'minmax(110px, 1fr)', render: (shard) => <Outcome shard={shard} /> },
    {
      key: 'fuel',
      title: 'Fuel',
      width: '80px',
      align: 'end',
      render: (shard) => (shard.fuel === null ? '–' : compact(shard.fuel)),
    },
    {
      key: 'time',
      title: 'Ran',
      width: '80px',
      align: 'end',
      render: (shard) => (shard.summary ? duration(shard.summary.wall_ms) : '–'),
    },
  ];
}

function shareColumns(self: string | undefined): readonly Column<NodeShare>[] {
  return [
    { key: 'peer', title: 'Node', render: (share) => <PeerName peer={share.peer} self={self} /> },
    { key: 'running', title: 'Runs now', align: 'end', render: (share) => count(share.running) },
    { key: 'finished', title: 'Decided', align: 'end', render: (share) => count(share.finished) },
    { key: 'failed', title: 'Function failed', align: 'end', render: (share) => count(share.failed) },
    { key: 'verifies', title: 'Seats to verify', align: 'end', render: (share) => count(share.verifies) },
  ];
}

export function ShardsView({ job, shards }: { job: Job; shards: readonly (Shard | undefined)[] }) {
  const self = useLive((state) => state.node?.peer);
  const [state, setState] = useState('');
  const [peer, setPeer] = useState('');
  const [failedOnly, setFailedOnly] = useState(false);
  const [opened, setOpened] = useState<number | null>(null);
  const shares = useMemo(() => sharesOf(shards), [shards]);
  const rows = useMemo(() => filterShards(shards, { state, peer, failedOnly }), [shards, state, peer, failedOnly]);
  const columns = useMemo(() => columnsFor(self, (shard) => setOpened(shard.shard)), [self]);
  const one = opened === null ? undefined : shards[opened];
  return (
    <>
      {shares.length > 0 && (
        <Table label="Shards by node" columns={shareColumns(self)} rows={shares} rowKey={(share) => share.peer} />
      )}
      <div className="toolbar">
        <Field label="State">
          {(aria) => (
            <select {...aria} value={state} onChange={(event) => setState(event.target.value)}>
              <option value="">every state</option>
              {shardStates.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Node">
          {(aria) => (
            <select {...aria} value={peer} onChange={(event) => setPeer(event.target.value)}>
              <option value="">every node</option>
              {shares.map((share) => (
                <option key={share.peer} value={share.peer}>
                  {visible(shortPeer(share.peer))}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Check label="Function failed" checked={failedOnly} onValue={setFailedOnly} />
        <span className="muted num" aria-live="polite">
          {rows.length === shards.length
            ? plural(shards.length, 'shard')
            : `${count(rows.length)} of ${plural(shards.length, 'shard')}`}
        </span>
      </div>
      {rows.length === 0 ? (
        <Empty title={shards.length === 0 || shards.some(Boolean) ? 'No shard is like that' : 'Reading…'} />
      ) : (
        <VirtualTable label="Shards" columns={columns} rows={rows} rowKey={(shard) => shard.shard} />
      )}
      <Dialog title={`Shard ${opened ?? ''}`} open={one !== undefined} onClose={() => setOpened(null)}>
        {one && <ShardDetail job={job} shard={one} self={self} />}
        <div className="dialog-actions">
          <Button onClick={() => setOpened(null)}>Close</Button>
        </div>
      </Dialog>
    </>
  );
}

function ShardDetail({ job, shard, self }: { job: Job; shard: Shard; self: string | undefined }) {
  return (
    <>
      <Facts
        items={[
          ['State', <StateBadge state={shard.state} />],
          ['Runs it', shard.worker ? <PeerName peer={shard.worker} self={self} /> : 'nobody yet'],
          ['Outcome', <Outcome shard={shard} />],
          ['Fuel', shard.fuel === null ? '–' : count(shard.fuel)],
          ['Ran', shard.summary ? duration(shard.summary.wall_ms) : '–'],
          ['Memory at most', shard.summary ? bytes(shard.summary.peak_memory_bytes) : '–'],
          ['Read and written', shard.summary ? bytes(shard.summary.io_bytes) : '–'],
          ['Result', shard.result ? <Id value={shard.result} /> : '–'],
          ['Log', shard.log ? <Id value={shard.log} /> : '–'],
        ]}
      />
      {shard.outcome && shard.outcome.backtrace.length > 0 && (
        <pre className="code">{shard.outcome.backtrace.map((frame) => `at ${visible(frame)}`).join('\n')}</pre>
      )}
      {shard.seats.length > 0 && (
        <Table
          label="Verifiers"
          columns={[
            { key: 'peer', title: 'Verifier', render: (seat) => <PeerName peer={seat.peer} self={self} /> },
            { key: 'state', title: 'Came to', render: (seat) => <StateBadge state={seat.state} /> },
          ]}
          rows={shard.seats}
          rowKey={(seat) => seat.peer}
        />
      )}
      {shard.story.length > 0 && (
        <ol className="story">
          {shard.story.map((line, index) => (
            <li key={index}>{visible(line)}</li>
          ))}
        </ol>
      )}
      {shard.result && <ResultPanel id={job.id} shard={shard.shard} name={`${shortId(job.id)}-${shard.shard}`} />}
      <Command line={mesh('receipt', 'export', shortId(job.id), '--shard', shard.shard)} />
    </>
  );
}
