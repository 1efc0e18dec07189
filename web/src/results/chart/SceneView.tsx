import {
  type KeyboardEvent,
  type PointerEvent,
  type RefObject,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';

import { useZoom } from '../../lib/zoom';
import type { Label } from '../../map/labels';
import { type Frame, MARGIN, type Scene, type ScenePoint } from './scene';
import type { ChartKind } from './shape';

export type AnyScene = Scene & { labels?: Label[] };

interface Props {
  kind: ChartKind;
  build: (frame: Frame) => AnyScene;
  label: string;
  svg: RefObject<SVGSVGElement | null>;
}

const HEIGHT = 380;
const MAX_ZOOM = 100_000;
const REACH = 40;

/** The width that the box has, which charts are drawn for. */
function useWidth(box: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(720);
  // Before the first frame, or a chart is drawn twice and seen to jump.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const take = (found: number) => {
      if (found > 0) setWidth(Math.max(280, Math.round(found)));
    };
    take(element.clientWidth);
    const observer = new ResizeObserver(([entry]) => take(entry?.contentRect.width ?? 0));
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return width;
}

function nearest(points: readonly ScenePoint[], x: number, y: number): number {
  let best = -1;
  let distance = REACH * REACH;
  points.forEach((point, i) => {
    const found = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (found >= distance) return;
    distance = found;
    best = i;
  });
  return best;
}

/** The point of the series beside this one that is nearest in x. */
function otherSeries(points: readonly ScenePoint[], from: ScenePoint, step: number): number {
  const series = [...new Set(points.map((point) => point.series))].sort((a, b) => a - b);
  const wanted = series[series.indexOf(from.series) + step];
  let best = -1;
  points.forEach((point, i) => {
    if (point.series === wanted && (best < 0 || Math.abs(point.x - from.x) < Math.abs(points[best]!.x - from.x)))
      best = i;
  });
  return best;
}

function Axes({ scene, width }: { scene: Scene; width: number }) {
  const bottom = HEIGHT - MARGIN.bottom;
  const muted = 'var(--muted, #5b6472)';
  return (
    <g fontSize={11} fill={muted} fontFamily="sans-serif">
      {scene.yTicks.map(({ at, label }) => (
        <g key={`${at} ${label}`}>
          <line x1={MARGIN.left} x2={width - MARGIN.right} y1={at} y2={at} stroke="var(--border, #d5dae1)" />
          <text x={MARGIN.left - 6} y={at + 4} textAnchor="end">
            {label}
          </text>
        </g>
      ))}
      {scene.xTicks.map(({ at, label }) => (
        <g key={`${at} ${label}`}>
          <line x1={at} x2={at} y1={bottom} y2={bottom + 5} stroke={muted} />
          <text x={at} y={bottom + 17} textAnchor="middle">
            {label}
          </text>
        </g>
      ))}
      <text x={(MARGIN.left + width - MARGIN.right) / 2} y={HEIGHT - 8} textAnchor="middle">
        {scene.xTitle}
      </text>
      <text transform={`translate(14,${(MARGIN.top + bottom) / 2}) rotate(-90)`} textAnchor="middle">
        {scene.yTitle}
      </text>
    </g>
  );
}

const DOT = 4;
const NODE = 8;

function Paths({ scene }: { scene: AnyScene }) {
  return scene.paths.map((path, i) => {
    if (path.role === 'area') return <path key={i} d={path.d} fill={path.color} shapeRendering="crispEdges" />;
    const width = { dots: DOT, cells: 3, nodes: NODE, line: 1.5 }[path.role];
    return (
      <path
        key={i}
        d={path.d}
        fill="none"
        stroke={path.color}
        strokeWidth={width}
        strokeLinecap={path.role === 'cells' ? 'butt' : 'round'}
        shapeRendering={path.role === 'cells' ? 'crispEdges' : undefined}
        strokeLinejoin="round"
        strokeDasharray={path.dash}
      />
    );
  });
}

function Legend({ scene }: { scene: Scene }) {
  if (scene.legend.length < 2) return null;
  return (
    <ul className="rv-legend">
      {scene.legend.map(({ label, color }) => (
        <li key={`${label} ${color}`}>
          <svg width={12} height={12} aria-hidden="true">
            <rect width={12} height={12} fill={color} />
          </svg>{' '}
          <bdi>{label}</bdi>
        </li>
      ))}
    </ul>
  );
}

function Tooltip({ point, lines, width }: { point: ScenePoint; lines: readonly string[]; width: number }) {
  const isRight = point.x > width / 2;
  return (
    <div
      className="rv-tooltip"
      style={{
        top: Math.max(0, point.y - 40),
        ...(isRight ? { right: width - point.x + 12 } : { left: point.x + 12 }),
      }}
    >
      {lines.map((line) => (
        <div key={line}>
          <bdi>{line}</bdi>
        </div>
      ))}
    </div>
  );
}

/** Draws a scene, with tooltips by mouse and by keyboard. */
export function SceneView({ kind, build, label, svg }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const help = useId();
  const clip = useId();
  const width = useWidth(box);
  const { transform, by, pan, reset } = useZoom(svg, {
    box: [MARGIN.left, MARGIN.top, width - MARGIN.right, HEIGHT - MARGIN.bottom],
    scale: [1, MAX_ZOOM],
    isKept: true,
  });
  const scene = useMemo(() => build({ width, height: HEIGHT, transform }), [build, width, transform]);
  const [active, setActive] = useState<{ series: number; place: number } | null>(null);
  const { points } = scene;
  const at = active ? points.findIndex((point) => point.series === active.series && point.place === active.place) : -1;
  const point = points[at];
  const go = (index: number) => {
    const next = points[Math.min(points.length - 1, Math.max(0, index))];
    if (next) setActive({ series: next.series, place: next.place });
  };
  const goToSeries = (step: number) => {
    const next = point ? otherSeries(points, point, step) : 0;
    if (next >= 0) go(next);
  };
  const jump = Math.max(10, Math.round(points.length / 20));
  const actions: Record<string, () => void> = {
    ArrowRight: () => go(at + 1),
    ArrowLeft: () => go(at < 0 ? 0 : at - 1),
    ArrowUp: () => goToSeries(-1),
    ArrowDown: () => goToSeries(1),
    PageDown: () => go(at + jump),
    PageUp: () => go(at - jump),
    Home: () => go(0),
    End: () => go(points.length - 1),
    Escape: () => setActive(null),
    '+': () => by(1.5),
    '=': () => by(1.5),
    '-': () => by(1 / 1.5),
    '0': reset,
  };
  const pans: Record<string, () => void> = {
    ArrowRight: () => pan(-60, 0),
    ArrowLeft: () => pan(60, 0),
    ArrowUp: () => pan(0, 60),
    ArrowDown: () => pan(0, -60),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = (event.shiftKey ? pans[event.key] : undefined) ?? actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  };
  const onPointerMove = (event: PointerEvent<SVGSVGElement>) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    const found = points[nearest(points, event.clientX - bounds.left, event.clientY - bounds.top)];
    setActive(found ? { series: found.series, place: found.place } : null);
  };
  const lines = point ? scene.describe(point) : [];
  return (
    <div ref={box}>
      <div
        className="rv-scene"
        role="application"
        aria-roledescription="graph"
        aria-label={label}
        aria-describedby={help}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        <svg
          ref={svg}
          width={width}
          height={HEIGHT}
          viewBox={`0 0 ${width} ${HEIGHT}`}
          aria-hidden="true"
          onPointerMove={onPointerMove}
          onPointerLeave={() => setActive(null)}
        >
          <clipPath id={clip}>
            <rect
              x={kind === 'network' ? 0 : MARGIN.left - 3}
              y={kind === 'network' ? 0 : MARGIN.top - 3}
              width={kind === 'network' ? width : width - MARGIN.left - MARGIN.right + 6}
              height={kind === 'network' ? HEIGHT : HEIGHT - MARGIN.top - MARGIN.bottom + 6}
            />
          </clipPath>
          <Axes scene={scene} width={width} />
          <g clipPath={`url(#${clip})`}>
            <Paths scene={scene} />
            {scene.labels?.map((one, i) => (
              <text
                key={i}
                x={one.x}
                y={one.y}
                fontSize={11}
                fontFamily="sans-serif"
                textAnchor={one.anchor}
                fill="var(--text, #111827)"
              >
                {one.text}
              </text>
            ))}
          </g>
          {point && (
            <circle
              data-screen-only
              cx={point.x}
              cy={point.y}
              r={6}
              fill="none"
              stroke="var(--text, #111827)"
              strokeWidth={2}
            />
          )}
        </svg>
        {point && <Tooltip point={point} lines={lines} width={width} />}
        <div role="status" className="sr-only">
          {lines.join(', ')}
        </div>
      </div>
      <Legend scene={scene} />
      <div className="rv-bar">
        <div role="group" aria-label="Zoom" className="rv-toggle">
          <button type="button" onClick={() => by(1.5)} aria-label="Zoom in">
            +
          </button>
          <button type="button" onClick={() => by(1 / 1.5)} aria-label="Zoom out">
            −
          </button>
          <button type="button" onClick={reset}>
            Whole
          </button>
        </div>
        <span id={help} className="muted">
          Arrows go from point to point, + and − zoom, Shift with arrows moves, 0 shows the whole.
        </span>
      </div>
    </div>
  );
}
