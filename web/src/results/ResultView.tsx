import './results.css';

import { lazy, Suspense, useMemo, useState } from 'react';

import { Tabs } from '../ui/kit';
import { save } from '../lib/download';
import { bytes as size } from '../lib/format';
import type { Dataset } from './chart/dataset';
import { detect, type Detected } from './detect';
import { HexView } from './HexView';
import { ImageView } from './ImageView';
import { type JsonDocument } from './json';
import { type Opened, open } from './open';
import { fileName } from './printable';
import type { Table } from './table';
import { TableView } from './TableView';
import { TextView } from './TextView';
import { TreeView } from './TreeView';
import { useWork } from './useWork';

const ChartView = lazy(() => import('./chart/ChartView'));

type ViewId = 'chart' | 'table' | 'tree' | 'image' | 'text' | 'hex';

const NAMES: Record<ViewId, string> = {
  chart: 'Graph',
  table: 'Table',
  tree: 'JSON',
  image: 'Picture',
  text: 'Text',
  hex: 'Bytes',
};

const MAX_SVG = 1 << 20;

export interface ResultViewProps {
  bytes: Uint8Array;
  name?: string;
}

/** The views that a result has, the one to begin with first. */
function viewsOf(detected: Detected, opened: Opened, size: number): ViewId[] {
  if (detected.kind === 'image') return ['image', 'hex'];
  if (detected.kind === 'binary') return ['hex', 'text'];
  if (detected.kind === 'svg') return size <= MAX_SVG ? ['text', 'image', 'hex'] : ['text', 'hex'];
  const views: ViewId[] = [];
  if (opened.document) views.push('tree');
  if (opened.table) views.push('table');
  if (opened.dataset) views.push('chart');
  return [...views, 'text', 'hex'];
}

interface ContentProps {
  view: ViewId;
  bytes: Uint8Array;
  name: string | undefined;
  detected: Detected;
  document: JsonDocument | null;
  table: Table | null;
  dataset: Dataset | null;
  onTable: () => void;
}

function Content({ view, bytes, name, detected, document, table, dataset, onTable }: ContentProps) {
  if (view === 'tree' && document) return <TreeView document={document} />;
  if (view === 'table' && table) return <TableView table={table} name={fileName(name, 'csv')} />;
  if (view === 'chart' && dataset)
    return (
      <Suspense fallback={<p role="status">Loading the graph</p>}>
        <ChartView dataset={dataset} name={name} onTable={table ? onTable : undefined} />
      </Suspense>
    );
  if (view === 'image' && detected.kind === 'image') return <ImageView bytes={bytes} {...detected} />;
  if (view === 'image') return <ImageView bytes={bytes} type="image/svg+xml" width={0} height={0} />;
  return view === 'hex' ? <HexView bytes={bytes} /> : <TextView bytes={bytes} />;
}

function Views({ bytes, name, detected, opened }: ResultViewProps & { detected: Detected; opened: Opened }) {
  const views = viewsOf(detected, opened, bytes.length);
  const [chosen, setChosen] = useState<ViewId | null>(null);
  const view = chosen && views.includes(chosen) ? chosen : views[0]!;
  const tabs = views.map((id) => [id, NAMES[id]] as const);
  return (
    <>
      {opened.notes.map((note) => (
        <p key={note} className="rv-note">
          {note}
        </p>
      ))}
      <Tabs label="Views of the result" tabs={tabs} value={view} onValue={setChosen}>
        <Content
          {...{ view, bytes, name, detected }}
          {...{ document: opened.document, table: opened.table, dataset: opened.dataset }}
          onTable={() => setChosen('table')}
        />
      </Tabs>
    </>
  );
}

/** Shows a result, whatever it is. The bytes are a stranger's: nothing in them is ever run or taken for markup. */
export function ResultView({ bytes, name }: ResultViewProps) {
  const detected = useMemo(() => detect(bytes, name), [bytes, name]);
  const opening = useWork(() => open(bytes, detected, name), [bytes, detected, name]);
  const download = () => save([bytes as BlobPart], 'application/octet-stream', fileName(name, ''));
  return (
    <section className="rv" aria-label="Result">
      <div className="rv-bar">
        <span className="muted">{size(bytes.length)}</span>
        <button type="button" onClick={download} disabled={bytes.length === 0}>
          Download
        </button>
      </div>
      {detected.kind === 'empty' && <p className="rv-note">The result is empty.</p>}
      {detected.kind !== 'empty' && opening.state === 'busy' && <p role="status">Reading the result</p>}
      {opening.state === 'failed' && <p role="alert">{opening.message}</p>}
      {detected.kind !== 'empty' && opening.state === 'done' && (
        <Views bytes={bytes} {...(name === undefined ? {} : { name })} detected={detected} opened={opening.value} />
      )}
    </section>
  );
}

export default ResultView;
