// The proof bundle of a job: saved, or checked here by code that shares nothing with the node.
import { useState } from 'react';
import { useSession } from '../app/session';
import type { Job } from '../data/model';
import { useAction } from '../data/read';
import { mesh as line } from '../lib/commands';
import { saveAs } from '../lib/download';
import { shortId } from '../lib/format';
import { Button, Command, Dialog } from '../ui/kit';

export function Proof({ job }: { job: Job }) {
  const { mesh } = useSession();
  const [open, setOpen] = useState(false);
  const name = `${shortId(job.id)}.car`;
  const save = useAction(async () => {
    saveAs(await mesh.job(job.id).receipts(), name, 'application/vnd.ipld.car');
  });
  return (
    <>
      <Button onClick={() => setOpen(true)} disabled={!job.ended}>
        Proof
      </Button>
      <Dialog title="The proof of this job" open={open} onClose={() => setOpen(false)}>
        <p>
          The bundle holds everything that was signed about this job: who was asked, who ran each shard, who ran it again,
          and what they found. Whoever has it can check it without this node.
        </p>
        <div className="dialog-actions">
          <Button tone="primary" busy={save.busy} onClick={() => save.run()}>
            Save the bundle
          </Button>
          <Button onClick={() => setOpen(false)}>Close</Button>
        </div>
        <Command line={line('receipt', 'export', shortId(job.id), '--file', name)} />
        <Command line={line('receipt', 'verify', name)} />
      </Dialog>
    </>
  );
}
