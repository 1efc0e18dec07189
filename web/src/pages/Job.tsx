import { useEffect, useState } from 'react';
import { useLocation } from 'wouter';
import { useLive, useSession } from '../app/session';
import type { Job, MeshEvent, Shard } from '../data/model';
import { useAction, useRead } from '../data/read';
import { CostFacts, EscrowView } from '../job/Cost';
import { ExplainView } from '../job/Explain';
import { LogView } from '../job/LogView';
import { PhaseLine } from '../job/PhaseLine';
import { Proof } from '../job/Proof';
import { ResultPanel } from '../job/ResultPanel';
import { ShardBar } from '../job/ShardBar';
import { ShardsView } from '../job/ShardsView';
import { mesh as line } from '../lib/commands';
import { clock, count, plural, shortId } from '../lib/format';
import { excerpt, visible } from '../lib/visible';
import {
  Badge,
  Button,
  Command,
  Empty,
  Facts,
  Failure,
  Field,
  Id,
  PageHead,
  Panel,
  PeerName,
  Read,
  StateBadge,
  Tabs,
} from '../ui/kit';
import { VirtualTable } from '../ui/table';

type Tab = 'shards' | 'log' | 'result' | 'why' | 'story' | 'terms';

export default function JobPage({ id }: { id: string }) {
  const { live } = useSession();
  const job = useLive((state) => state.jobs.get(id));
  const detail = useLive((state) => state.details.get(id));
  useEffect(() => live.open(id), [live, id]);
  if (!job) return <Missing id={id} />;
  return (
    <JobView
      job={job}
      shards={detail?.shards ?? []}
      moments={detail?.moments ?? []}
      leftOut={detail?.momentsLeftOut ?? 0}
    />
  );
}

/** Not in the list: it is read by its id, which may be a beginning of one. */
function Missing({ id }: { id: string }) {
  const { mesh } = useSession();
  const [, navigate] = useLocation();
  const read = useLive((state) => state.jobsRead);
  const reading = useRead(read ? id : null, (signal) => mesh.job(id).status({ signal }));
  useEffect(() => {
    if (reading.data && reading.data.id !== id) navigate(`/jobs/${reading.data.id}`, { replace: true });
  }, [reading.data, id, navigate]);
  return (
    <>
      <PageHead title={`Job ${excerpt(shortId(id), 16)}`} />
      {reading.error !== undefined ? (
        <Failure error={reading.error} again={reading.again} />
      ) : (
        <Empty title="Reading…" />
      )}
    </>
  );
}

function JobView({
  job,
  shards,
  moments,
  leftOut,
}: {
  job: Job;
  shards: readonly (Shard | undefined)[];
  moments: readonly MeshEvent[];
  leftOut: number;
}) {
  const [tab, setTab] = useState<Tab>('shards');
  return (
    <>
      <PageHead
        title={excerpt(job.label || 'Job without a label', 128)}
        sub={
          <span className="row">
            <StateBadge state={job.phase} />
            {job.ended && job.phase === 'done' && (
              <Badge tone={job.unverified ? 'warn' : 'good'}>{job.unverified ? 'unverified' : 'verified'}</Badge>
            )}
            <Id value={job.id} />
            <span>begun {clock(job.created)}</span>
          </span>
        }
        actions={<Actions job={job} />}
      />
      {job.failure !== '' && (
        <div className="note note-bad" role="alert">
          {visible(job.failure)}
        </div>
      )}
      {job.failed_outcomes > 0 && (
        <div className="note note-bad">
          The function failed in {count(job.failed_outcomes)} of {plural(job.shards, 'shard')}; the log says where.
        </div>
      )}
      {job.notes.map((note, index) => (
        <div key={index} className="note note-warn">
          {visible(note)}
        </div>
      ))}
      <Panel>
        <PhaseLine job={job} moments={moments} />
        <ShardBar job={job} shards={shards} />
        <CostFacts job={job} />
      </Panel>
      <Panel
        title={
          <Tabs<Tab>
            label="Of this job"
            value={tab}
            onValue={setTab}
            tabs={[
              [
                'shards',
                <>
                  Shards <span className="muted num">{count(job.shards)}</span>
                </>,
              ],
              ['log', 'Log'],
              ['result', 'Result'],
              ['why', 'Who, and why'],
              ['story', 'Events'],
              ['terms', 'Terms and payment'],
            ]}
          />
        }
      >
        {tab === 'shards' && <ShardsView job={job} shards={shards} />}
        {tab === 'log' && <LogView id={job.id} many={job.shards > 1} />}
        {tab === 'result' && <Results job={job} shards={shards} />}
        {tab === 'why' && <Why job={job} />}
        {tab === 'story' && <Story moments={moments} leftOut={leftOut} />}
        {tab === 'terms' && <Terms job={job} />}
      </Panel>
    </>
  );
}

function Actions({ job }: { job: Job }) {
  const { mesh, say } = useSession();
  const [, navigate] = useLocation();
  const stop = useAction(async () => {
    await mesh.job(job.id).stop();
    say('done', 'The job is being stopped.');
  });
  const rerun = useAction(async () => {
    const made = await mesh.job(job.id).rerun();
    navigate(`/jobs/${made.id}`);
  });
  return (
    <>
      {!job.ended && (
        <Button tone="danger" busy={stop.busy} onClick={() => stop.run()} title={line('job', 'stop', shortId(job.id))}>
          Stop
        </Button>
      )}
      <Button busy={rerun.busy} onClick={() => rerun.run()} title={line('job', 'rerun', shortId(job.id))}>
        Run again
      </Button>
      <Proof job={job} />
    </>
  );
}

function Results({ job, shards }: { job: Job; shards: readonly (Shard | undefined)[] }) {
  const single = job.shards === 1 || job.result !== null;
  const [chosen, setChosen] = useState('0');
  const number = /^\d+$/.test(chosen) && Number(chosen) < job.shards ? Number(chosen) : null;
  if (single && !job.ended) return <Empty title="There is no result yet" />;
  if (single && job.phase !== 'done' && !shards[0]?.result) return <Empty title="The job came to no result" />;
  if (single)
    return (
      <>
        <ResultPanel id={job.id} name={shortId(job.id)} />
        <Command line={line('job', 'get', shortId(job.id))} />
      </>
    );
  const hasResult = number !== null && shards[number]?.result;
  return (
    <>
      <div className="toolbar">
        <Field label={`Shard, 0 to ${count(job.shards - 1)}`}>
          {(aria) => (
            <input
              {...aria}
              type="number"
              min={0}
              max={job.shards - 1}
              value={chosen}
              onChange={(event) => setChosen(event.target.value)}
            />
          )}
        </Field>
      </div>
      {number === null ? (
        <Empty title="There is no such shard" />
      ) : hasResult ? (
        <ResultPanel id={job.id} shard={number} name={`${shortId(job.id)}-${number}`} />
      ) : (
        <Empty title="This shard has no result yet" />
      )}
      <Command line={line('job', 'get', shortId(job.id), '--output-dir', 'results')} />
    </>
  );
}

function Why({ job }: { job: Job }) {
  const { mesh } = useSession();
  // Read again with each phase: the ranking is made once, refusals come as offers do.
  const reading = useRead(`${job.id} ${job.phase} ${job.notes.length}`, (signal) =>
    mesh.job(job.id).explain({ signal }),
  );
  return <Read reading={reading}>{(explanation) => <ExplainView explanation={explanation} />}</Read>;
}

function Story({ moments, leftOut }: { moments: readonly MeshEvent[]; leftOut: number }) {
  if (moments.length === 0) return <Empty title="The node no longer keeps the events of this job" />;
  return (
    <>
      {leftOut > 0 && <p className="note">{count(leftOut)} earlier events are left out.</p>}
      <VirtualTable
        label="Events"
        rows={moments}
        rowKey={(event) => event.seq}
        rowHeight={30}
        columns={[
          {
            key: 'time',
            title: 'Time',
            width: '120px',
            render: (event) => <span className="num">{clock(event.time)}</span>,
          },
          {
            key: 'kind',
            title: 'What',
            width: '130px',
            render: (event) => <span className="mono">{visible(event.kind)}</span>,
          },
          {
            key: 'peer',
            title: 'Node',
            width: '100px',
            render: (event) => (event.peer ? <PeerName peer={event.peer} /> : ''),
          },
          {
            key: 'text',
            title: 'Which says',
            render: (event) => <span className="ellipsis">{excerpt(event.text ?? event.phase ?? '', 300)}</span>,
          },
        ]}
      />
    </>
  );
}

function Terms({ job }: { job: Job }) {
  const { scope, limits } = job;
  return (
    <>
      <EscrowView job={job} />
      <h3>Terms of one run</h3>
      <Facts
        items={[
          ['Fuel', count(scope.fuel)],
          ['Memory', `${count(scope.memory_mb)} MiB`],
          ['Read and written', `${count(scope.io_mb)} MiB`],
          ['Time to fetch', `${limits.fetch_ms / 1000} s`],
          ['Time to run', `${limits.run_ms / 1000} s`],
          ['Time in all', `${limits.total_ms / 1000} s`],
          ['Sealed inputs', job.sealed ? 'yes' : 'no'],
          ['Function', <Id value={job.function} />],
          ['Inputs', <Id value={job.inputs} />],
          ['Result', job.result ? <Id value={job.result} /> : '–'],
        ]}
      />
    </>
  );
}
