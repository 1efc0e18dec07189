// What a job may cost, what it has cost so far, and who had it.
import type { Job } from '../data/model';
import { mesh } from '../lib/commands';
import { clock, compact, count, credits, duration, shortId } from '../lib/format';
import { visible } from '../lib/visible';
import { Command, Facts, Id, PeerName, StateBadge } from '../ui/kit';
import { Table } from '../ui/table';
import { useNow } from './PhaseLine';

export function CostFacts({ job }: { job: Job }) {
  const now = useNow(!job.ended);
  const took = job.elapsed_ms ?? Math.max(0, now - Date.parse(job.created));
  return (
    <Facts
      items={[
        ['Took', duration(took)],
        ['Fuel', compact(job.fuel)],
        ['Fee at most', job.fee === 0 ? 'none' : `${credits(String(BigInt(job.fee) * BigInt(job.shards)))} credits`],
        ['Paid so far', job.escrow ? `${credits(job.escrow.paid)} credits` : 'nothing'],
        ['Verifiers', job.verifiers === null ? 'as many as it takes' : count(job.verifiers)],
        ['Verified', job.sample_per_mille < 1000 ? `${job.sample_per_mille / 10} % of the shards` : 'every shard'],
      ]}
    />
  );
}

export function EscrowView({ job }: { job: Job }) {
  const { escrow } = job;
  if (!escrow)
    return <p className="muted">Nothing is paid for this job: it has no fee, or the federation no ledger.</p>;
  return (
    <>
      <Facts
        items={[
          ['Escrow', <StateBadge state={escrow.state} />],
          ['Locked', `${credits(escrow.locked)} credits`],
          ['Paid', `${credits(escrow.paid)} credits`],
          ['Came back', `${credits(escrow.refunded)} credits`],
          ['Held', `${credits(escrow.held)} credits`],
          ['Shards paid', count(escrow.shards_paid)],
        ]}
      />
      <Table
        label="Paid work"
        columns={[
          { key: 'work', title: 'Work', render: (work) => <Id value={work.commitment} /> },
          { key: 'worker', title: 'Worker', render: (work) => <PeerName peer={work.worker} /> },
          { key: 'state', title: 'State', render: (work) => <StateBadge state={work.state} /> },
          { key: 'accepted', title: 'Accepted', align: 'end', render: (work) => count(work.accepted) },
          { key: 'rejected', title: 'Rejected', align: 'end', render: (work) => count(work.rejected) },
          { key: 'paid', title: 'Paid', align: 'end', render: (work) => credits(work.paid) },
          { key: 'due', title: 'Due', render: (work) => visible(clock(work.due)) },
        ]}
        rows={escrow.works}
        rowKey={(work) => work.commitment}
      />
      <Command line={mesh('job', 'payment', shortId(job.id))} />
    </>
  );
}
