import { useEffect, useMemo, useState } from 'react';
import { Link } from 'wouter';
import { useLive, useSession } from '../app/session';
import type { MeshEvent } from '../data/model';
import { clock, plural, shortId } from '../lib/format';
import { excerpt, visible } from '../lib/visible';
import { Empty, Field, PageHead, Panel, PeerName, TextField } from '../ui/kit';
import type { Column } from '../ui/table';
import { VirtualTable } from '../ui/table';

const columns: readonly Column<MeshEvent>[] = [
  { key: 'time', title: 'Time', width: '190px', render: (event) => <span className="num">{clock(event.time)}</span> },
  {
    key: 'kind',
    title: 'What',
    width: '140px',
    render: (event) => <span className="mono">{visible(event.kind)}</span>,
  },
  {
    key: 'job',
    title: 'Job',
    width: '150px',
    render: (event) => (event.job ? <Link href={`/jobs/${event.job}`}>{visible(shortId(event.job))}</Link> : ''),
  },
  { key: 'peer', title: 'Node', width: '100px', render: (event) => (event.peer ? <PeerName peer={event.peer} /> : '') },
  { key: 'text', title: 'Which says', render: (event) => excerpt(event.text ?? event.phase ?? '', 400) },
];

const areas = ['node', 'peer', 'job', 'task', 'run', 'intent', 'assets', 'transfer', 'ledger'] as const;

/** What the node tells of itself: what its own log on stderr is made of, newest first. */
export default function Activity() {
  const { live } = useSession();
  const events = useLive((state) => state.activity);
  const [area, setArea] = useState('');
  const [text, setText] = useState('');
  useEffect(() => {
    const abort = new AbortController();
    void live.readPast(abort.signal);
    return () => abort.abort();
  }, [live]);
  const rows = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    return events
      .filter((event) => area === '' || event.kind.startsWith(`${area}.`))
      .filter(
        (event) =>
          wanted === '' ||
          `${event.kind} ${event.text ?? ''} ${event.job ?? ''} ${event.peer ?? ''}`.toLowerCase().includes(wanted),
      )
      .reverse();
  }, [events, area, text]);
  return (
    <>
      <PageHead
        title="Activity"
        sub="What this node tells of itself, newest first, as far back as it keeps it in memory."
      />
      <Panel>
        <div className="toolbar">
          <Field label="Of">
            {(aria) => (
              <select {...aria} value={area} onChange={(event) => setArea(event.target.value)}>
                <option value="">everything</option>
                {areas.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            )}
          </Field>
          <TextField label="Search" type="search" value={text} onValue={setText} />
          <span className="muted num">{plural(rows.length, 'event')}</span>
        </div>
        {rows.length === 0 ? (
          <Empty title="Nothing is like that" />
        ) : (
          <VirtualTable
            label="Events"
            columns={columns}
            rows={rows}
            rowKey={(event) => event.seq}
            rowHeight={30}
            height={640}
          />
        )}
      </Panel>
    </>
  );
}
