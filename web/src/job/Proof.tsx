// The proof bundle of a job: saved, or checked here by code that shares nothing with the node's.
import type { Report } from 'meshwork/verify';
import { useState } from 'react';
import { useSession } from '../app/session';
import type { Job } from '../data/model';
import { useAction } from '../data/read';
import { mesh as line } from '../lib/commands';
import { save } from '../lib/download';
import { shortId } from '../lib/format';
import { visible } from '../lib/visible';
import { Badge, Button, Command, Dialog } from '../ui/kit';

export function Proof({ job }: { job: Job }) {
  const { mesh } = useSession();
  const [open, setOpen] = useState(false);
  const [report, setReport] = useState<Report>();
  const name = `${shortId(job.id)}.car`;
  const keep = useAction(async () => {
    save([(await mesh.job(job.id).receipts()) as BlobPart], 'application/vnd.ipld.car', name);
  });
  const verify = useAction(async () => {
    setReport(undefined);
    const { verifyBundle } = await import('meshwork/verify');
    setReport(await verifyBundle(await mesh.job(job.id).receipts()));
  });
  return (
    <>
      <Button onClick={() => setOpen(true)} disabled={!job.ended}>
        Proof
      </Button>
      <Dialog title="The proof of this job" open={open} onClose={() => setOpen(false)}>
        <p>
          The bundle holds everything that was signed about this job: who was asked, who ran each shard, who ran it
          again, and what they found. Whoever has it can check it without this node.
        </p>
        <div className="dialog-actions">
          <Button tone="primary" busy={verify.busy} onClick={() => verify.run()}>
            Verify here
          </Button>
          <Button busy={keep.busy} onClick={() => keep.run()}>
            Save the bundle
          </Button>
          <Button onClick={() => setOpen(false)}>Close</Button>
        </div>
        <div aria-live="polite">{report && <ReportView report={report} job={job} />}</div>
        <Command line={line('receipt', 'export', shortId(job.id), '--file', name)} />
        <Command line={line('receipt', 'verify', name)} />
      </Dialog>
    </>
  );
}

/** Exported for its test. */
export function ReportView({ report, job }: { report: Report; job: Pick<Job, 'id'> }) {
  const isOfJob = report.job?.id === job.id;
  return (
    <div className="stack">
      <p className={report.holds && isOfJob ? 'note note-good' : 'note note-bad'}>
        {!report.holds
          ? 'The proof does not hold.'
          : isOfJob
            ? 'Everything that was checked holds.'
            : 'The bundle holds, but it is not of this job.'}
      </p>
      <ul className="checks">
        {report.statements.map((statement, index) => (
          <li key={index}>
            <Badge tone={statement.holds === true ? 'good' : statement.holds ? 'neutral' : 'bad'}>
              {statement.holds === true ? 'holds' : statement.holds ? 'not checked' : 'does not hold'}
            </Badge>
            <span>
              {visible(statement.what)}{' '}
              {statement.why !== '' && <span className="muted">{visible(statement.why)}</span>}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
