import { unwrap } from 'meshwork';
import { useState } from 'react';
import { useLive, useSession } from '../app/session';
import type { Schemas, Transfer } from '../data/model';
import { useAction, useRead } from '../data/read';
import { cidIn } from '../lib/cid';
import { mesh as line } from '../lib/commands';
import { bytes, clock, count, plural, roundTrip } from '../lib/format';
import { visible } from '../lib/visible';
import {
  Button,
  Command,
  Empty,
  Failure,
  Field,
  Id,
  Meter,
  PageHead,
  Panel,
  PeerName,
  Read,
  StateBadge,
  TextField,
} from '../ui/kit';
import { Table, VirtualTable } from '../ui/table';

type Holding = Schemas['Holding'];

export default function Content() {
  return (
    <>
      <PageHead title="Content" sub="Files by their hash: what is shared here, who has what, what is on its way." />
      <Find />
      <Transfers />
      <Shared />
      <Added />
      <Pins />
    </>
  );
}

function Find() {
  const { mesh } = useSession();
  const [text, setText] = useState('');
  const [asked, setAsked] = useState<string | null>(null);
  const reading = useRead(asked, (signal) => {
    const cid = cidIn(asked ?? '');
    const query = cid === undefined ? { name: asked ?? '' } : { cid };
    return unwrap(mesh.api.GET('/api/v1/query/asset', { params: { query }, signal }));
  });
  return (
    <Panel title="Find">
      <form
        className="toolbar"
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim() === '') return;
          setAsked(text.trim());
          reading.again();
        }}
      >
        <TextField
          label="Name, pattern, hub id or CID"
          type="search"
          value={text}
          onValue={setText}
          size={48}
          placeholder="*.gguf"
        />
        <Button tone="primary" type="submit" busy={reading.loading && asked !== null} disabled={text.trim() === ''}>
          Find
        </Button>
      </form>
      {asked !== null && (
        <Read reading={reading}>
          {(answer) => (
            <>
              {!answer.complete && <p className="note note-warn">Not everybody has answered; there may be more.</p>}
              {answer.dht && <p className="muted">{visible(answer.dht)}</p>}
              {answer.holdings.length === 0 ? (
                <Empty title="Nobody who is connected has that" />
              ) : (
                <Holdings holdings={answer.holdings} />
              )}
            </>
          )}
        </Read>
      )}
      <Command line={line('assets', 'find', text.trim() || 'NAME_OR_CID')} />
    </Panel>
  );
}

function Holdings({ holdings }: { holdings: readonly Holding[] }) {
  return (
    <Table
      label="Holders"
      rows={holdings}
      rowKey={(_, index) => index}
      columns={[
        { key: 'path', title: 'File', render: (one) => visible(one.asset.path ?? 'without a name') },
        {
          key: 'bytes',
          title: 'Size',
          align: 'end',
          render: (one) => (one.asset.bytes === null ? '–' : bytes(one.asset.bytes)),
        },
        { key: 'cid', title: 'CID', render: (one) => <Id value={one.asset.cid} /> },
        {
          key: 'where',
          title: 'Where',
          render: (one) => (one.source === 'local' ? 'here' : <PeerName peer={one.peer} />),
        },
        {
          key: 'rtt',
          title: 'Round trip',
          align: 'end',
          render: (one) => (one.source === 'local' ? '–' : roundTrip(one.rtt_us)),
        },
        {
          key: 'do',
          title: '',
          render: (one) => (one.source === 'local' ? <Pin cid={one.asset.cid} /> : <Fetch holding={one} />),
        },
      ]}
    />
  );
}

function Fetch({ holding }: { holding: Holding }) {
  const { mesh, live, say } = useSession();
  const { cid, path } = holding.asset;
  const fetching = useAction(async () => {
    live.readTransfers();
    const body = {
      ...(holding.peer === '' ? {} : { from: [holding.peer] }),
      ...(path === null ? {} : { path }),
    };
    const got = await unwrap(mesh.api.POST('/api/v1/assets/{cid}/fetch', { params: { path: { cid } }, body }));
    live.readTransfers();
    say('done', got.file ? `It lies in ${got.file}.` : 'It is here.');
  });
  return (
    <Button busy={fetching.busy} onClick={() => fetching.run()} title={line('assets', 'get', cid)}>
      Fetch
    </Button>
  );
}

function Pin({ cid }: { cid: string }) {
  const { mesh, say } = useSession();
  const pin = useAction(async () => {
    await unwrap(mesh.api.PUT('/api/v1/pins/{cid}', { params: { path: { cid } } }));
    say('done', 'It is pinned: it stays whatever room is wanted for.');
  });
  return (
    <Button tone="quiet" busy={pin.busy} onClick={() => pin.run()} title={line('assets', 'pin', cid)}>
      Pin
    </Button>
  );
}

function Transfers() {
  const transfers = useLive((state) => state.transfers);
  const rows = [...(transfers?.values() ?? [])];
  return (
    <Panel title="Transfers">
      {rows.length === 0 ? (
        <p className="muted">{transfers ? 'Nothing is being fetched.' : 'Reading…'}</p>
      ) : (
        <Table
          label="Transfers"
          rows={rows}
          rowKey={(one) => one.cid}
          columns={[
            { key: 'path', title: 'File', render: (one) => visible(one.path || one.file) || <Id value={one.cid} /> },
            { key: 'state', title: 'State', render: (one) => <StateBadge state={one.state} /> },
            {
              key: 'progress',
              title: 'Here',
              render: (one) => (
                <span className="progress-cell">
                  <Meter value={one.bytes_here} max={one.bytes} label={`Of ${visible(one.path)}`} />
                  <span className="num">
                    {bytes(one.bytes_here)} of {bytes(one.bytes)}
                  </span>
                </span>
              ),
            },
            { key: 'speed', title: 'A second', align: 'end', render: (one) => bytes(one.bytes_per_s) },
            { key: 'holders', title: 'From', render: (one) => plural(one.holders.length, 'node') },
            { key: 'error', title: '', render: (one) => visible(one.error) },
            { key: 'do', title: '', render: (one) => <Orders transfer={one} /> },
          ]}
        />
      )}
    </Panel>
  );
}

function Orders({ transfer }: { transfer: Transfer }) {
  const { mesh, live } = useSession();
  const params = { path: { cid: transfer.cid } };
  const order = useAction(async (what: 'pause' | 'resume' | 'cancel') => {
    if (what === 'pause') await unwrap(mesh.api.POST('/api/v1/transfers/{cid}/pause', { params }));
    else if (what === 'resume') await unwrap(mesh.api.POST('/api/v1/transfers/{cid}/resume', { params }));
    else await unwrap(mesh.api.POST('/api/v1/transfers/{cid}/cancel', { params }));
    live.readTransfers();
  });
  if (['done', 'failed', 'cancelled'].includes(transfer.state)) return null;
  return (
    <span className="row">
      {transfer.state === 'paused' ? (
        <Button tone="quiet" busy={order.busy} onClick={() => order.run('resume')}>
          Resume
        </Button>
      ) : (
        <Button tone="quiet" busy={order.busy} onClick={() => order.run('pause')}>
          Pause
        </Button>
      )}
      <Button tone="quiet" busy={order.busy} onClick={() => order.run('cancel')}>
        Cancel
      </Button>
    </span>
  );
}

function Shared() {
  const { mesh, say } = useSession();
  const tick = useLive((state) => state.assetsTick);
  const reading = useRead(`manifest ${tick}`, (signal) =>
    unwrap(mesh.api.GET('/api/v1/manifest', { params: { query: { count: 1000 } }, signal })),
  );
  const refresh = useAction(async () => {
    const found = await unwrap(mesh.api.POST('/api/v1/manifest/refresh'));
    say(
      found.problem_count > 0 ? 'error' : 'done',
      `${plural(found.files, 'file')}, ${bytes(found.bytes)}; ${plural(found.problem_count, 'problem')}.`,
    );
    reading.again();
  });
  return (
    <Panel
      title="Shared by this node"
      actions={
        <Button busy={refresh.busy} onClick={() => refresh.run()} title={line('assets', 'refresh')}>
          Look again
        </Button>
      }
    >
      <Read reading={reading}>
        {(manifest) =>
          manifest.assets.length === 0 ? (
            <Empty title="This node shares nothing">
              <Command line={line('assets', 'add', 'PATH')} />
            </Empty>
          ) : (
            <>
              <p className="muted">
                {plural(manifest.files, 'file')}, {bytes(manifest.bytes)}
                {manifest.files > manifest.assets.length && `; the first ${count(manifest.assets.length)} are shown`}
              </p>
              <VirtualTable
                label="Shared files"
                rows={manifest.assets}
                rowKey={(file, index) => `${file.cid} ${index}`}
                height={360}
                columns={[
                  { key: 'path', title: 'File', width: 'minmax(200px, 2fr)', render: (file) => visible(file.path) },
                  { key: 'bytes', title: 'Size', width: '90px', align: 'end', render: (file) => bytes(file.bytes) },
                  { key: 'for', title: 'For', width: '110px', render: (file) => visible(file.visibility) },
                  {
                    key: 'model',
                    title: 'Model',
                    width: '160px',
                    render: (file) =>
                      file.model ? visible(`${file.model.architecture} ${file.model.quantisation}`) : '',
                  },
                  { key: 'cid', title: 'CID', width: '190px', render: (file) => <Id value={file.cid} /> },
                ]}
              />
            </>
          )
        }
      </Read>
      <Command line={line('assets', 'ls')} />
    </Panel>
  );
}

const audiences = {
  '': 'whoever knows its CID',
  lan: 'the local network',
  federation: 'the federation',
  everybody: 'everybody',
} as const;
type Audience = keyof typeof audiences;

/** Files and folders of the node's machine, which a browser cannot name otherwise than by their paths. */
function Added() {
  const { mesh, say } = useSession();
  const tick = useLive((state) => state.assetsTick);
  const [path, setPath] = useState('');
  const [audience, setAudience] = useState<Audience>('');
  const reading = useRead('added', (signal) => unwrap(mesh.api.GET('/api/v1/assets', { signal })), tick);
  const isAbsolute = path.startsWith('/');
  const add = useAction(async () => {
    const query = { path, ...(audience === '' ? {} : { visibility: audience }) };
    await unwrap(mesh.api.POST('/api/v1/assets', { params: { query } }));
    say('done', 'It is shared where it lies.');
    setPath('');
    reading.again();
  });
  const remove = useAction(async (gone: string) => {
    await unwrap(mesh.api.DELETE('/api/v1/assets', { params: { query: { path: gone } } }));
    reading.again();
  });
  return (
    <Panel title="Added where it lies">
      <form
        className="toolbar"
        onSubmit={(event) => {
          event.preventDefault();
          if (isAbsolute) add.run();
        }}
      >
        <TextField
          label="File or folder of this machine"
          value={path}
          onValue={setPath}
          size={40}
          placeholder="/home/me/texts"
          error={path === '' || isAbsolute ? undefined : 'The whole path, from / on.'}
        />
        <Field label="For">
          {(aria) => (
            <select {...aria} value={audience} onChange={(event) => setAudience(event.target.value as Audience)}>
              {Object.entries(audiences).map(([name, title]) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Button tone="primary" type="submit" busy={add.busy} disabled={!isAbsolute}>
          Share
        </Button>
      </form>
      <Read reading={reading}>
        {(added) =>
          added.length === 0 ? (
            <p className="muted">Nothing was added. Folders are shared with all that is in them; nothing is copied.</p>
          ) : (
            <Table
              label="Added files and folders"
              rows={added}
              rowKey={(one) => one.path}
              columns={[
                { key: 'path', title: 'Path', render: (one) => visible(one.path) },
                { key: 'files', title: 'Files', align: 'end', render: (one) => count(one.files) },
                { key: 'bytes', title: 'Size', align: 'end', render: (one) => bytes(one.bytes) },
                { key: 'for', title: 'For', render: (one) => visible(one.visibility ?? audiences['']) },
                { key: 'cid', title: 'CID', render: (one) => <Id value={one.cid} /> },
                {
                  key: 'do',
                  title: '',
                  render: (one) => (
                    <Button tone="quiet" busy={remove.busy} onClick={() => remove.run(one.path)}>
                      Share no longer
                    </Button>
                  ),
                },
              ]}
            />
          )
        }
      </Read>
      <Command line={line('assets', 'add', path || 'PATH', ...(audience === '' ? [] : ['--visibility', audience]))} />
    </Panel>
  );
}

function Pins() {
  const { mesh } = useSession();
  const reading = useRead('pins', (signal) => unwrap(mesh.api.GET('/api/v1/pins', { signal })));
  const [error, setError] = useState<unknown>();
  const unpin = useAction(async (cid: string) => {
    setError(undefined);
    try {
      await unwrap(mesh.api.DELETE('/api/v1/pins/{cid}', { params: { path: { cid } } }));
    } catch (problem) {
      setError(problem);
    }
    reading.again();
  });
  return (
    <Panel
      title="Pins"
      actions={
        <Button tone="quiet" onClick={reading.again}>
          Read again
        </Button>
      }
    >
      {error !== undefined && <Failure error={error} />}
      <Read reading={reading}>
        {({ pins }) =>
          pins.length === 0 ? (
            <p className="muted">Nothing is pinned.</p>
          ) : (
            <Table
              label="Pins"
              rows={pins}
              rowKey={(pin) => pin.cid}
              columns={[
                { key: 'cid', title: 'CID', render: (pin) => <Id value={pin.cid} /> },
                { key: 'path', title: 'File', render: (pin) => visible(pin.path) },
                { key: 'since', title: 'Since', render: (pin) => clock(pin.since) },
                {
                  key: 'do',
                  title: '',
                  render: (pin) => (
                    <Button
                      tone="quiet"
                      busy={unpin.busy}
                      onClick={() => unpin.run(pin.cid)}
                      title={line('assets', 'unpin', pin.cid)}
                    >
                      Unpin
                    </Button>
                  ),
                },
              ]}
            />
          )
        }
      </Read>
      <Command line={line('assets', 'pins')} />
    </Panel>
  );
}
