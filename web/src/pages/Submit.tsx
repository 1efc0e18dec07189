import { MeshError, unwrap } from 'meshwork';
import type { Mesh } from 'meshwork';
import { Suspense, lazy, useEffect, useMemo, useRef, useState } from 'react';
import { Link } from 'wouter';
import { useLive, useSession } from '../app/session';
import type { Job, TaskPlan } from '../data/model';
import { useAction, useRead } from '../data/read';
import { bytes, compact, count, credits, plural, shortId } from '../lib/format';
import type { GuestError, ScriptLanguage } from '../lib/traceback';
import { parseGuestError, watTrap } from '../lib/traceback';
import { visible } from '../lib/visible';
import type { Draft, FunctionPart, InputKind, Language, Problems } from '../submit/draft';
import {
  canReduce,
  commandOf,
  inputKinds,
  inputsOf,
  languages,
  loadDraft,
  problemsOf,
  requestOf,
  saveDraft,
} from '../submit/draft';
import { templates } from '../submit/templates';
import {
  Badge,
  Button,
  Check,
  Command,
  Facts,
  Field,
  Id,
  PageHead,
  Panel,
  PeerName,
  StateBadge,
  Tabs,
  TextField,
} from '../ui/kit';
import { resourceColumns } from '../ui/peers';
import { Table } from '../ui/table';

const Editor = lazy(() => import('../submit/Editor'));

const titles: Readonly<Record<Language, string>> = {
  python: 'Python',
  javascript: 'JavaScript',
  wat: 'WAT',
  wasm: 'A .wasm file',
};
const inputTitles: Readonly<Record<InputKind, string>> = {
  none: 'nothing',
  text: 'text',
  json: 'JSON',
  files: 'files or a folder',
  cids: 'CIDs',
};

function base64Of(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:[^,]*,/, ''));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

/** Why a file did not come to the node, by its name. */
function uploadError(file: File, error: unknown): unknown {
  if (!(error instanceof MeshError) || error.kind === 'unauthorized') return error;
  const what = `${file.name} (${bytes(file.size)})`;
  if (error.kind === 'unreachable')
    return new Error(`${what} was not sent: the file has changed or gone since it was chosen, or the node has.`);
  const way = error.kind === 'too-large' ? '; the command line below sends it in pieces' : '';
  return new Error(`${what} was not taken: ${error.detail}${way}.`);
}

async function upload(mesh: Mesh, file: File): Promise<string> {
  try {
    return await mesh.upload(file);
  } catch (error) {
    throw uploadError(file, error);
  }
}

const emptyFiles: readonly File[] = [];
const lastLanguage = 'meshwork.language';

function firstLanguage(): Language {
  const kept = localStorage.getItem(lastLanguage);
  return languages.find((one) => one === kept) ?? 'python';
}

export default function Submit() {
  const [language, setLanguage] = useState<Language>(firstLanguage);
  const choose = (next: Language) => {
    localStorage.setItem(lastLanguage, next);
    setLanguage(next);
  };
  return (
    <>
      <PageHead title="Submit" sub="Write a function; the mesh runs it, runs it again elsewhere, and compares." />
      <Tabs label="Language" value={language} onValue={choose} tabs={languages.map((one) => [one, titles[one]])} />
      <Form key={language} language={language} />
    </>
  );
}

function Form({ language }: { language: Language }) {
  const { mesh, live, say } = useSession();
  const [draft, setDraft] = useState(() => loadDraft(language));
  const [files, setFiles] = useState(emptyFiles);
  const [module, setModule] = useState<File | null>(null);
  const [plan, setPlan] = useState<TaskPlan>();
  const [job, setJob] = useState<string>();
  const [refused, setRefused] = useState<GuestError | null>(null);
  const [tried, setTried] = useState(false);
  useEffect(() => {
    if (!saveDraft(language, draft))
      say('error', 'This browser has no room for the draft: it would not outlast a reload.');
  }, [language, draft, say]);
  const failure = useGuestFailure(job, language, draft.source);
  const problems = problemsOf(language, draft, files.length, module !== null);
  const isRight = Object.keys(problems).length === 0;
  const shown: Problems = tried ? problems : {};
  const change = (part: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...part }));
    setPlan(undefined);
    if ('source' in part) {
      setRefused(null);
      setJob(undefined);
    }
  };

  const send = async (dryRun: boolean) => {
    setTried(true);
    if (!isRight) return;
    setRefused(null);
    const part: FunctionPart =
      module && language === 'wasm' ? { source_base64: await base64Of(module) } : { source: draft.source };
    const uploaded: string[] = [];
    for (const file of draft.inputKind === 'files' ? files : []) uploaded.push(await upload(mesh, file));
    const body = { ...requestOf(language, draft, part, inputsOf(draft, uploaded).inputs), dry_run: dryRun };
    try {
      const answer = await unwrap(mesh.api.POST('/api/v1/tasks', { body }));
      if ('id' in answer) {
        setJob(answer.id);
        live.readJob(answer.id);
      } else setPlan(answer);
    } catch (error) {
      if (error instanceof MeshError && language !== 'wasm') setRefused(parseGuestError(language, error.detail));
      throw error;
    }
  };
  const run = useAction(() => send(false));
  const check = useAction(() => send(true));

  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        run.run();
      }}
    >
      <Panel
        title="Program"
        actions={
          language !== 'wasm' && (
            <select
              aria-label="Begin with a template"
              value=""
              onChange={(event) => {
                const template = templates[language][Number(event.target.value)];
                if (template)
                  change({
                    source: template.source,
                    inputKind: template.inputKind,
                    input: template.input,
                    map: template.map,
                  });
              }}
            >
              <option value="">Begin with…</option>
              {templates[language].map((template, index) => (
                <option key={template.name} value={index}>
                  {template.name}
                </option>
              ))}
            </select>
          )
        }
      >
        {language === 'wasm' ? (
          <Field label="Module" hint="At most 45 MiB; larger ones go by the command line." error={shown.module}>
            {(aria) => (
              <input
                {...aria}
                type="file"
                accept=".wasm,application/wasm"
                onChange={(event) => setModule(event.target.files?.[0] ?? null)}
              />
            )}
          </Field>
        ) : (
          <Suspense fallback={<div className="editor loading muted">Opening the editor…</div>}>
            <Editor
              language={language}
              value={draft.source}
              onValue={(source) => change({ source })}
              error={refused ?? failure}
            />
          </Suspense>
        )}
        {shown.source !== undefined && <p className="note note-bad">{shown.source}</p>}
        <GuestErrorNote error={refused ?? failure} />
        <TextField
          label="Arguments"
          hint="Parted by blanks; quotes keep blanks together."
          value={draft.args}
          onValue={(args) => change({ args })}
        />
        {canReduce(language, draft) && (
          <Field
            label="Fold the results with"
            hint={`A program in ${titles[language]} too: it reads all results one after another, each ended by a line break. Empty for none.`}
            error={shown.reduce}
          >
            {(aria) => (
              <textarea
                {...aria}
                rows={4}
                spellCheck={false}
                value={draft.reduce}
                onChange={(event) => change({ reduce: event.target.value })}
              />
            )}
          </Field>
        )}
      </Panel>
      <InputPanel draft={draft} change={change} files={files} setFiles={setFiles} problems={shown} />
      <TermsPanel draft={draft} change={change} problems={shown} />
      {tried && !isRight && (
        <p className="note note-bad" role="alert">
          Something is missing or not right: see the fields in red.
        </p>
      )}
      <div className="row">
        <Button tone="primary" type="submit" busy={run.busy}>
          Run
        </Button>
        <Button busy={check.busy} onClick={() => check.run()}>
          Dry run
        </Button>
      </div>
      <Command
        line={commandOf(
          language,
          draft,
          files.map((file) => file.webkitRelativePath || file.name),
        )}
      />
      {plan && <PlanPanel plan={plan} />}
      {job !== undefined && <JobLine id={job} />}
    </form>
  );
}

/** Reads the log of a job whose function failed, once it has ended. */
function useGuestFailure(job: string | undefined, language: Language, source: string): GuestError | null {
  const { mesh } = useSession();
  const view = useLive((state) => (job === undefined ? undefined : state.jobs.get(job)));
  const failed = view !== undefined && view.ended && view.failed_outcomes > 0 && language !== 'wasm';
  const reading = useRead(failed ? `failure of ${view.id}` : null, async (signal) => {
    const logs = new Map<number, string>();
    for await (const line of mesh.job(view?.id ?? '').logs({ signal }))
      logs.set(line.shard, ((logs.get(line.shard) ?? '') + line.text).slice(-(64 << 10)));
    for (const text of logs.values()) {
      const error = parseGuestError(language as ScriptLanguage, text, source.split('\n').length);
      if (error) return { error };
    }
    return { error: language === 'wat' ? watTrap(view?.failure ?? '', source) : null };
  });
  return failed ? (reading.data?.error ?? null) : null;
}

function GuestErrorNote({ error }: { error: GuestError | null }) {
  if (!error) return null;
  return (
    <div className="note note-bad" role="alert">
      <span>
        Line {error.frames[0]?.line}: {visible(error.message)}
        {error.frames.length > 1 &&
          ` (called from line ${error.frames
            .slice(1, 5)
            .map((frame) => frame.line)
            .join(', ')})`}
      </span>
    </div>
  );
}

type Change = (part: Partial<Draft>) => void;

function InputPanel({
  draft,
  change,
  files,
  setFiles,
  problems,
}: {
  draft: Draft;
  change: Change;
  files: readonly File[];
  setFiles: (files: readonly File[]) => void;
  problems: Problems;
}) {
  const folder = useRef<HTMLInputElement>(null);
  const take = (list: FileList | null) => {
    setFiles([...(list ?? [])]);
    if ((list?.length ?? 0) > 1) change({ map: true });
  };
  // No attribute of React's types, but of every browser.
  useEffect(() => folder.current?.setAttribute('webkitdirectory', ''), [draft.inputKind]);
  return (
    <Panel title="Input">
      <div className="toolbar">
        <Field label="The function reads">
          {(aria) => (
            <select
              {...aria}
              value={draft.inputKind}
              onChange={(event) => change({ inputKind: event.target.value as InputKind })}
            >
              {inputKinds.map((kind) => (
                <option key={kind} value={kind}>
                  {inputTitles[kind]}
                </option>
              ))}
            </select>
          )}
        </Field>
        {draft.inputKind !== 'none' && (
          <Check label="Once for each line, element or file" checked={draft.map} onValue={(map) => change({ map })} />
        )}
      </div>
      {draft.inputKind === 'files' ? (
        <div className="form">
          <Field
            label="Files"
            error={problems.files}
            hint={
              files.length > 0
                ? `${plural(files.length, 'file')}, ${bytes(files.reduce((sum, file) => sum + file.size, 0))}`
                : 'They are uploaded to this node when the job is submitted.'
            }
          >
            {(aria) => <input {...aria} type="file" multiple onChange={(event) => take(event.target.files)} />}
          </Field>
          <Field label="Or all files of a folder">
            {(aria) => (
              <input {...aria} ref={folder} type="file" multiple onChange={(event) => take(event.target.files)} />
            )}
          </Field>
        </div>
      ) : (
        draft.inputKind !== 'none' && (
          <Field label={draft.inputKind === 'cids' ? 'CIDs, one a line' : 'Input'} error={problems.input}>
            {(aria) => (
              <textarea
                {...aria}
                rows={5}
                spellCheck={false}
                value={draft.input}
                onChange={(event) => change({ input: event.target.value })}
              />
            )}
          </Field>
        )
      )}
      {draft.inputKind === 'none' && problems.input !== undefined && <p className="note note-bad">{problems.input}</p>}
    </Panel>
  );
}

function TermsPanel({ draft, change, problems }: { draft: Draft; change: Change; problems: Problems }) {
  return (
    <Panel title="Terms of one run">
      <div className="form">
        <TextField
          label="Label"
          value={draft.label}
          onValue={(label) => change({ label })}
          error={problems.label}
          hint="A name for people"
        />
        <TextField
          label="Fee in credits"
          inputMode="decimal"
          placeholder="0"
          value={draft.fee}
          onValue={(fee) => change({ fee })}
          error={problems.fee}
          hint="Above 0 only in a federation with a ledger"
        />
        <TextField
          label="Verifiers"
          inputMode="numeric"
          placeholder="as many as it takes"
          value={draft.verifiers}
          onValue={(verifiers) => change({ verifiers })}
          error={problems.verifiers}
          hint="0 for none"
        />
        <TextField
          label="Verified, in per cent"
          inputMode="decimal"
          placeholder="100"
          value={draft.sample}
          onValue={(sample) => change({ sample })}
          error={problems.sample}
          hint="Of the runs, drawn when all are done"
        />
        <TextField
          label="Fuel"
          inputMode="numeric"
          placeholder="200000000000"
          value={draft.fuel}
          onValue={(fuel) => change({ fuel })}
          error={problems.fuel}
        />
        <TextField
          label="Memory in MiB"
          inputMode="numeric"
          placeholder="512"
          value={draft.memory}
          onValue={(memory) => change({ memory })}
          error={problems.memory}
        />
        <TextField
          label="Seconds to run"
          inputMode="numeric"
          placeholder="600"
          value={draft.runSeconds}
          onValue={(runSeconds) => change({ runSeconds })}
          error={problems.runSeconds}
        />
      </div>
      <Check
        label="Seal the inputs: only the nodes that run and verify each of them can read it"
        checked={draft.sealed}
        onValue={(sealed) => change({ sealed })}
      />
    </Panel>
  );
}

function PlanPanel({ plan }: { plan: TaskPlan }) {
  const { mesh, live } = useSession();
  const peers = useLive((state) => state.peers);
  useEffect(() => live.readPeers(), [live]);
  const fuel = plan.scope.fuel;
  const price = useRead(`price ${fuel}`, (signal) =>
    unwrap(mesh.api.GET('/api/v1/ledger/price', { params: { query: { fuel } }, signal })),
  );
  const hasNoLedger = price.error instanceof MeshError && price.error.code === 'no-ledger';
  const machines = useMemo(() => new Map(peers?.map((peer) => [peer.peer, peer.resources])), [peers]);
  const able = plan.peers.filter(({ lacks }) => lacks === null).length;
  const prospects = plan.peers.map((one) => ({ ...one, resources: machines.get(one.peer) ?? null }));
  return (
    <Panel title="What would be asked for">
      <Facts
        items={[
          ['Program', visible(plan.description)],
          ['Function', <Id value={plan.function} />],
          ['Shards', count(plan.shards)],
          ['Inputs', bytes(plan.bytes)],
          ['Fee in all', plan.fee_total === 0 ? 'none' : `${credits(String(plan.fee_total))} credits`],
          ['Verifiers', plan.verifiers === null ? 'as many as it takes' : count(plan.verifiers)],
          ['Fuel of a run at most', compact(fuel)],
          ['Memory of a run', `${count(plan.scope.memory_mb)} MiB`],
          [
            'Usual fee of such a run',
            hasNoLedger ? 'no ledger, so nothing is paid' : price.data ? `${credits(price.data.fee)} credits` : '…',
          ],
        ]}
      />
      {price.data?.price === null && <p className="note">Nobody was paid lately, so the usual fee is a guess.</p>}
      <h3>
        {count(able)} of {plural(prospects.length, 'peer')} could take it
      </h3>
      {prospects.length > 0 && (
        <Table
          label="Peers that are connected"
          rows={prospects}
          rowKey={({ peer }) => peer}
          columns={[
            { key: 'peer', title: 'Peer', render: ({ peer }) => <PeerName peer={peer} /> },
            {
              key: 'lacks',
              title: 'Could take it',
              render: ({ lacks }) => (lacks === null ? 'yes' : `no: ${visible(lacks)}`),
            },
            ...resourceColumns,
          ]}
        />
      )}
    </Panel>
  );
}

function JobLine({ id }: { id: string }) {
  const job = useLive((state) => state.jobs.get(id));
  return (
    <>
      {job !== undefined && job.failure !== '' && <JobFailure text={job.failure} />}
      <JobStatus id={id} job={job} />
    </>
  );
}

/** What ran out has no line: the node cannot say where a program was then. */
function JobFailure({ text }: { text: string }) {
  return (
    <div className="note note-bad" role="alert">
      <span>
        {visible(text)}
        {text.includes('out of fuel') &&
          '. A loop that never ends uses up whatever fuel it has; in which line it was is not known.'}
      </span>
    </div>
  );
}

function JobStatus({ id, job }: { id: string; job: Job | undefined }) {
  return (
    <div className="note" role="status">
      <span className="row">
        Job <Link href={`/jobs/${id}`}>{shortId(id)}</Link>
        {job && <StateBadge state={job.phase} />}
        {job?.ended && job.unverified && <Badge tone="warn">unverified</Badge>}
        {job && `${count(job.finished)} of ${plural(job.shards, 'shard')}`}
      </span>
      <Link href={`/jobs/${id}`} className="button">
        Watch it
      </Link>
    </div>
  );
}
