import { useMemo, useRef, useState } from 'react';

import { save } from '../../lib/download';
import { textOf } from '../../lib/errors';
import { plural } from '../../lib/format';
import { pngOf, svgText } from '../export';
import { fileName, printableLine } from '../printable';
import { SaveCsv } from '../SaveCsv';
import { useWork } from '../useWork';
import type { Work } from '../work';
import type { Dataset } from './dataset';
import { networkScene, type Place, placeNetwork } from './networkLayout';
import { prepare, type Prepared, type Settings } from './prepare';
import { buildScene, formatNumber, type Frame } from './scene';
import { type AnyScene, SceneView } from './SceneView';
import { CHART_NAMES, type ChartKind, chooseChart, type Choice, MAX_SERIES } from './shape';

interface Props {
  dataset: Dataset;
  name: string | undefined;
  /** Goes to the same data as a table. */
  onTable: (() => void) | undefined;
}

type Ready = { prepared: Prepared; places: null } | { prepared: null; places: Place[] };

function* ready(dataset: Dataset, settings: Settings): Work<Ready> {
  if (settings.kind === 'network' && dataset.network)
    return { prepared: null, places: yield* placeNetwork(dataset.network) };
  return { prepared: yield* prepare(dataset, settings), places: null };
}

function numberColumns(dataset: Dataset): number[] {
  return dataset.shape.columns.flatMap((column, i) => (column.type === 'number' ? [i] : []));
}

/** The settings for another kind: what a kind needs and the choice so far does not have is filled in. */
export function settingsFor(kind: ChartKind, dataset: Dataset, choice: Choice): Settings {
  const numbers = numberColumns(dataset);
  if (kind === 'heatmap') return { kind, x: -1, series: numbers };
  if (kind === 'histogram') return { kind, x: -1, series: choice.series.slice(0, 1) };
  if (kind !== 'scatter' || dataset.shape.columns[choice.x]?.type === 'number') return { ...choice, kind };
  const [x, ...others] = numbers;
  if (x === undefined || others.length === 0) return { kind, x: choice.x, series: choice.series };
  return { kind, x, series: others.slice(0, MAX_SERIES) };
}

function summary(kind: ChartKind, dataset: Dataset, made: Ready): string {
  const name = CHART_NAMES[kind];
  if (dataset.network && !made.prepared) {
    const { nodes, links } = dataset.network;
    return `${name} of ${plural(nodes.length, 'node')} and ${plural(links.length, 'link')}.`;
  }
  const data = made.prepared;
  if (!data) return name;
  if (data.form === 'bins') {
    const total = data.counts.reduce((sum, bin) => sum + bin, 0);
    const most = data.counts.indexOf(Math.max(...data.counts));
    return `${name} of ${plural(total, 'value')} of ${printableLine(data.axis.name, 60)} in ${plural(data.counts.length, 'bin')}; most, ${formatNumber(data.counts[most]!)}, from ${formatNumber(data.edges[most]!)} to ${formatNumber(data.edges[most + 1]!)}.`;
  }
  const range = data.form === 'blocks' ? data.extent : data.yExtent;
  const size =
    data.form === 'blocks'
      ? `${plural(data.rows, 'row')} and ${plural(data.columns.length, 'column')}`
      : `${plural(data.x.length, 'row')} of ${data.series.map((one) => printableLine(one.name, 40)).join(', ')}`;
  return `${name} of ${size}, between ${formatNumber(range.low)} and ${formatNumber(range.high)}.`;
}

function notesOf(dataset: Dataset, made: Ready): string[] {
  const notes = [...(made.prepared?.notes ?? [])];
  const data = made.prepared;
  if (data && data.left > 0)
    notes.push(`${plural(data.left, 'value is', 'values are')} not finite or too large to draw and left out.`);
  if (data && data.missing > 0) notes.push(`${plural(data.missing, 'cell')} without a number left out.`);
  if (!data && dataset.network && dataset.network.left > 0)
    notes.push(
      `${plural(dataset.network.left, 'node or link', 'nodes or links')} left out: too many, or an end is missing.`,
    );
  if (dataset.path !== '') notes.push(`Drawn from ${printableLine(dataset.path, 100)}.`);
  return notes;
}

interface ControlsProps {
  dataset: Dataset;
  choice: Choice;
  settings: Settings;
  onChange: (settings: Settings) => void;
}

function KindToggle({ dataset, choice, settings, onChange }: ControlsProps) {
  return (
    <div role="group" aria-label="Kind of graph" className="rv-toggle">
      {choice.kinds.map((kind) => (
        <button
          key={kind}
          type="button"
          aria-pressed={kind === settings.kind}
          onClick={() => onChange(settingsFor(kind, dataset, choice))}
        >
          {CHART_NAMES[kind]}
        </button>
      ))}
    </div>
  );
}

function AxisChoice({ dataset, settings, onChange }: ControlsProps) {
  const columns = dataset.shape.columns;
  if (settings.kind === 'histogram' || settings.kind === 'heatmap' || settings.kind === 'network') return null;
  const fits = (i: number) =>
    settings.kind !== 'scatter' || columns[i]!.type === 'number' || columns[i]!.type === 'time';
  return (
    <label>
      x{' '}
      <select
        value={settings.x}
        onChange={(event) => {
          const x = Number(event.target.value);
          onChange({ ...settings, x, series: settings.series.filter((i) => i !== x) });
        }}
      >
        <option value={-1}>row</option>
        {columns.map((column, i) =>
          column.type !== 'other' && fits(i) ? (
            <option key={i} value={i}>
              {printableLine(column.name, 40)}
            </option>
          ) : null,
        )}
      </select>
    </label>
  );
}

const MAX_CHOICES = 32;

function SeriesChoice({ dataset, settings, onChange }: ControlsProps) {
  const numbers = numberColumns(dataset).filter((i) => i !== settings.x);
  if (numbers.length < 2 || settings.kind === 'heatmap' || settings.kind === 'network') return null;
  const isSingle = settings.kind === 'histogram';
  const toggle = (column: number) => {
    if (isSingle) return onChange({ ...settings, series: [column] });
    const has = settings.series.includes(column);
    const series = has ? settings.series.filter((i) => i !== column) : [...settings.series, column];
    if (series.length <= MAX_SERIES) onChange({ ...settings, series: series.sort((a, b) => a - b) });
  };
  return (
    <fieldset className="rv-series">
      <legend>y</legend>
      {numbers.slice(0, MAX_CHOICES).map((column) => (
        <label key={column}>
          <input
            type={isSingle ? 'radio' : 'checkbox'}
            checked={settings.series.includes(column)}
            onChange={() => toggle(column)}
          />{' '}
          <bdi>{printableLine(dataset.shape.columns[column]!.name, 40)}</bdi>
        </label>
      ))}
    </fieldset>
  );
}

function Exports({
  svg,
  dataset,
  name,
}: {
  svg: () => SVGSVGElement | null;
  dataset: Dataset;
  name: string | undefined;
}) {
  const [problem, setProblem] = useState('');
  const text = () => {
    const element = svg();
    return element ? svgText(element, name ?? 'Result') : '';
  };
  const png = async () => {
    setProblem('');
    const { width, height } = svg()?.viewBox.baseVal ?? { width: 0, height: 0 };
    try {
      save([await pngOf(text(), width, height)], 'image/png', fileName(name, 'png'));
    } catch (error) {
      setProblem(`No picture was made: ${textOf(error)}`);
    }
  };
  const { table } = dataset;
  return (
    <div role="group" aria-label="Save the graph" className="rv-toggle">
      <button type="button" onClick={() => save([text()], 'image/svg+xml', fileName(name, 'svg'))}>
        SVG
      </button>
      <button type="button" onClick={() => void png()}>
        PNG
      </button>
      {table && <SaveCsv table={table} order={null} name={fileName(name, 'csv')} label="CSV" />}
      <span role="alert">{problem}</span>
    </div>
  );
}

function Drawing({
  dataset,
  settings,
  made,
  name,
}: {
  dataset: Dataset;
  settings: Settings;
  made: Ready;
  name: string | undefined;
}) {
  const svg = useRef<SVGSVGElement>(null);
  const label = summary(settings.kind, dataset, made);
  const build = useMemo(() => {
    const { network } = dataset;
    return (frame: Frame): AnyScene => {
      if (made.prepared) return buildScene(settings.kind, made.prepared, frame);
      if (!network) throw new Error('a network was prepared, but there is none');
      return networkScene(network, made.places, frame);
    };
  }, [dataset, settings, made]);
  return (
    <>
      <Exports svg={() => svg.current} dataset={dataset} name={name} />
      <SceneView kind={settings.kind} build={build} label={label} svg={svg} />
      <p className="rv-note">{label}</p>
      {notesOf(dataset, made).map((note) => (
        <p className="rv-note" key={note}>
          {note}
        </p>
      ))}
    </>
  );
}

function Charts({ dataset, choice, name, onTable }: Props & { choice: Choice }) {
  const [settings, setSettings] = useState<Settings>(() => settingsFor(choice.kind, dataset, choice));
  const made = useWork(() => ready(dataset, settings), [dataset, settings]);
  const controls = { dataset, choice, settings, onChange: setSettings };
  return (
    <div>
      <div className="rv-bar">
        <KindToggle {...controls} />
        <AxisChoice {...controls} />
        <SeriesChoice {...controls} />
      </div>
      {made.state === 'busy' && <p role="status">Drawing</p>}
      {made.state === 'failed' && <p role="alert">{made.message}</p>}
      {made.state === 'done' &&
        (settings.series.length > 0 || settings.kind === 'network' ? (
          <Drawing dataset={dataset} settings={settings} made={made.value} name={name} />
        ) : (
          <p className="rv-note">Choose at least one column for y.</p>
        ))}
      {onTable && (
        <p className="rv-note">
          <button type="button" className="rv-link" onClick={onTable}>
            The same data as a table
          </button>
        </p>
      )}
    </div>
  );
}

export default function ChartView({ dataset, name, onTable }: Props) {
  const choice = useMemo(() => chooseChart(dataset.shape), [dataset]);
  if (!choice) return <p className="rv-note">There are no numbers in this result to draw.</p>;
  return <Charts key={dataset.path} {...{ dataset, choice, name, onTable }} />;
}
