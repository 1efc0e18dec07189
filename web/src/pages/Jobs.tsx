import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import { useLive } from '../app/session';
import type { Job } from '../data/model';
import type { Group } from '../job/filter';
import { filtered, groups, inGroup } from '../job/filter';
import { mesh } from '../lib/commands';
import { ago, compact, count, credits, duration, shortId } from '../lib/format';
import { excerpt } from '../lib/visible';
import { Badge, Command, Empty, Meter, PageHead, Panel, StateBadge, Tabs, TextField } from '../ui/kit';
import type { Column } from '../ui/table';
import { VirtualTable } from '../ui/table';

const columns: readonly Column<Job>[] = [
  {
    key: 'label',
    title: 'Job',
    width: 'minmax(160px, 2fr)',
    render: (job) => (
      <Link href={`/jobs/${job.id}`} className="row-link">
        <span className="ellipsis">{excerpt(job.label || 'without a label', 80)}</span>
        <span className="mono muted small">{shortId(job.id)}</span>
      </Link>
    ),
  },
  {
    key: 'phase',
    title: 'Phase',
    width: '160px',
    render: (job) => (
      <span className="row">
        <StateBadge state={job.phase} />
        {job.ended && job.unverified && job.phase === 'done' && <Badge tone="warn">unverified</Badge>}
      </span>
    ),
  },
  {
    key: 'shards',
    title: 'Shards',
    width: '150px',
    render: (job) => (
      <span className="progress-cell">
        <Meter value={job.finished} max={job.shards} label={`Shards of ${shortId(job.id)}`} />
        <span className="num">
          {count(job.finished)}/{count(job.shards)}
        </span>
      </span>
    ),
  },
  { key: 'fuel', title: 'Fuel', width: '80px', align: 'end', render: (job) => compact(job.fuel) },
  {
    key: 'paid',
    title: 'Paid',
    width: '90px',
    align: 'end',
    render: (job) => (job.escrow ? credits(job.escrow.paid) : '–'),
  },
  {
    key: 'time',
    title: 'Took',
    width: '90px',
    align: 'end',
    render: (job) => (job.elapsed_ms === null ? '…' : duration(job.elapsed_ms)),
  },
  { key: 'created', title: 'Begun', width: '100px', align: 'end', render: (job) => ago(job.created) },
];

const titles: Readonly<Record<Group, string>> = {
  all: 'All',
  active: 'Active',
  done: 'Done',
  failed: 'Failed',
  unverified: 'Unverified',
};

export function Jobs() {
  const jobs = useLive((state) => state.jobs);
  const order = useLive((state) => state.order);
  const read = useLive((state) => state.jobsRead);
  const [group, setGroup] = useState<Group>('all');
  const [text, setText] = useState('');
  const all = useMemo(() => order.flatMap((id) => jobs.get(id) ?? []), [order, jobs]);
  const rows = useMemo(() => filtered(all, group, text), [all, group, text]);
  return (
    <>
      <PageHead
        title="Jobs"
        sub="What this node has had run across the mesh, newest first."
        actions={
          <Link href="/submit" className="button button-primary">
            Submit a job
          </Link>
        }
      />
      <Panel
        flush
        title={
          <Tabs
            label="Filter by state"
            value={group}
            onValue={setGroup}
            tabs={groups.map((key) => [
              key,
              <>
                {titles[key]} <span className="muted num">{count(all.filter((job) => inGroup(job, key)).length)}</span>
              </>,
            ])}
          />
        }
        actions={
          <TextField
            label="Search label or id"
            type="search"
            value={text}
            onValue={setText}
            placeholder="label or id"
          />
        }
      >
        {rows.length > 0 ? (
          <VirtualTable
            label="Jobs"
            columns={columns}
            rows={rows}
            rowKey={(job) => job.id}
            rowHeight={48}
            height={624}
          />
        ) : (
          <Empty
            title={!read ? 'Reading…' : all.length === 0 ? 'No job was run by this node yet' : 'No job is like that'}
          >
            {read && all.length === 0 && (
              <>
                <p className="muted">Write a function and see it run, or begin from the command line:</p>
                <Command line={mesh('run', 'examples/words/main.py', '-i', 'examples/data/texts', '--map')} />
              </>
            )}
          </Empty>
        )}
      </Panel>
      <Command line={mesh('job', 'ls')} />
    </>
  );
}
