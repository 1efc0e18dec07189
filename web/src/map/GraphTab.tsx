import { symbol, symbolCircle, symbolDiamond, symbolSquare, symbolStar, symbolTriangle, symbolWye } from 'd3-shape';
import { type KeyboardEvent, memo, useCallback, useEffect, useId, useMemo, useRef, useState } from 'react';

import { useZoom } from '../lib/zoom';
import { type Labelled, placeLabels } from './labels';
import { MapLayout, radiusOf } from './layout';
import { drawnPart, factsOf, loadOf, type MapModel, type MapNode, timeText } from './model';
import { type Pulse } from './pulses';
import { useMotion } from './useMotion';

const WIDTH = 900;
const HEIGHT = 560;
const LABEL_EVERY = 12;
/** More nodes than that are not drawn on their way, but when they rest. */
const MOVING = 250;

// A shape and a colour for each way a peer is found, so that neither is needed alone.
const WAYS: Record<string, { type: typeof symbolCircle; color: string; label: string }> = {
  self: { type: symbolStar, color: 'var(--accent, #2563eb)', label: 'this node' },
  mdns: { type: symbolCircle, color: 'var(--series-1, #0072b2)', label: 'local network (mDNS)' },
  kademlia: { type: symbolTriangle, color: 'var(--series-2, #d55e00)', label: 'Kademlia' },
  bootstrap: { type: symbolSquare, color: 'var(--series-3, #009e73)', label: 'bootstrap' },
  dialed: { type: symbolDiamond, color: 'var(--series-4, #cc79a7)', label: 'dialed' },
  inbound: { type: symbolWye, color: 'var(--series-5, #b07d00)', label: 'came by itself' },
};
const UNKNOWN_WAY = { type: symbolCircle, color: 'var(--muted, #5b6472)', label: 'not known' };

function wayOf(found: string) {
  return Object.hasOwn(WAYS, found) ? WAYS[found]! : UNKNOWN_WAY;
}

/** A share of a circle, clockwise from the top. */
export function arc(radius: number, share: number): string {
  if (share <= 0) return '';
  const angle = Math.min(share, 0.9999) * 2 * Math.PI;
  const [x, y] = [radius * Math.sin(angle), -radius * Math.cos(angle)];
  return `M0,${-radius}A${radius},${radius} 0 ${share > 0.5 ? 1 : 0} 1 ${x.toFixed(2)},${y.toFixed(2)}`;
}

const Node = memo(function Node({ node, isActive }: { node: MapNode; isActive: boolean }) {
  const radius = radiusOf(node);
  const { type, color } = wayOf(node.found);
  const isHollow = node.isKnown && !node.acceptsWork;
  return (
    <>
      {isActive && <circle r={radius + 7} fill="none" stroke="var(--text, #111827)" strokeWidth={2} />}
      {node.gpus.length > 0 && (
        <rect x={-radius - 3} y={-radius - 3} width={2 * radius + 6} height={2 * radius + 6} className="nm-gpu" />
      )}
      <path
        d={symbol(type, radius * radius * 2.6)() ?? ''}
        fill={isHollow ? 'var(--surface, #ffffff)' : color}
        stroke={color}
        strokeWidth={1.5}
        opacity={node.isConnected ? 1 : 0.4}
      />
      <path d={arc(radius + 3, loadOf(node))} className="nm-load" />
    </>
  );
});

interface Motion {
  layout: MapLayout;
  /** Goes up whenever places are worth a new drawing of names. */
  version: number;
}

/** Runs the layout frame by frame until it rests; moves what is drawn without a render of React for each frame. */
function useLayout(model: MapModel, move: (layout: MapLayout) => void, again: number): Motion {
  const [layout] = useState(() => new MapLayout());
  const [version, setVersion] = useState(0);
  const isWanted = useMotion();
  const hasMotion = isWanted && model.nodes.length <= MOVING;
  useEffect(() => {
    if (again > 0) layout.clear();
  }, [layout, again]);
  useEffect(() => {
    layout.update(model);
    let frames = 0;
    let frame = 0;
    const step = () => {
      const end = performance.now() + 10;
      let isMoving = layout.tick();
      while (!hasMotion && isMoving && performance.now() < end) isMoving = layout.tick();
      if (hasMotion || !isMoving) move(layout);
      frames += 1;
      if (!isMoving || (hasMotion && frames % LABEL_EVERY === 0)) setVersion((old) => old + 1);
      if (isMoving) frame = requestAnimationFrame(step);
    };
    if (layout.isAtRest) setVersion((old) => old + 1);
    else frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [layout, model, move, hasMotion, again]);
  return { layout, version };
}

function Legend({ nodes }: { nodes: readonly MapNode[] }) {
  const ways = [...new Set(nodes.map((node) => node.found))].map(wayOf);
  return (
    <ul className="nm-legend">
      {[...new Set(ways)].map(({ type, color, label }) => (
        <li key={label}>
          <svg width={14} height={14} viewBox="-7 -7 14 14" aria-hidden="true">
            <path d={symbol(type, 60)() ?? ''} fill={color} />
          </svg>{' '}
          {label}
        </li>
      ))}
      <li>hollow: takes no work</li>
      <li>square around: has a GPU</li>
      <li>ring: cores at work</li>
      <li>larger: more cores</li>
    </ul>
  );
}

function Facts({ node }: { node: MapNode | undefined }) {
  if (!node) return null;
  return (
    <dl className="nm-facts">
      {factsOf(node).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <bdi>{value}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
}

interface Props {
  model: MapModel;
  pulses: readonly Pulse[];
}

function linkKey({ source, target }: { source: string; target: string }): string {
  return JSON.stringify([source, target]);
}

export function GraphTab({ model: whole, pulses }: Props) {
  const model = useMemo(() => drawnPart(whole), [whole]);
  const svg = useRef<SVGSVGElement>(null);
  const world = useRef<SVGGElement>(null);
  const help = useId();
  const [active, setActive] = useState<string | null>(null);
  const [again, setAgain] = useState(0);
  const { transform, by, reset } = useZoom(svg, { box: [0, 0, WIDTH, HEIGHT], scale: [0.5, 20] });
  const shapes = useRef(new Map<string, SVGGElement>());
  const lines = useRef(new Map<string, SVGLineElement>());

  const links = model.links;
  const move = useCallback(
    (layout: MapLayout) => {
      for (const [id, element] of shapes.current) {
        const { x, y } = layout.position(id);
        element.setAttribute('transform', `translate(${x.toFixed(1)},${y.toFixed(1)})`);
      }
      for (const link of links) {
        const element = lines.current.get(linkKey(link));
        if (element) setEnds(element, layout, link);
      }
    },
    [links],
  );
  const { layout, version } = useLayout(model, move, again);
  const fit = Math.min(1.6, (Math.min(WIDTH, HEIGHT) / 2 - 24) / (layout.reach + 20));
  const scale = fit * transform.k;
  const toScreen = useCallback(
    (id: string) => {
      const { x, y } = layout.position(id);
      return {
        x: (x * fit + WIDTH / 2) * transform.k + transform.x,
        y: (y * fit + HEIGHT / 2) * transform.k + transform.y,
      };
    },
    [layout, fit, transform],
  );
  const working = useMemo(() => new Set(pulses.map((pulse) => pulse.peer)), [pulses]);
  const { labels, groups } = useMemo(() => {
    const labelled = model.nodes.map((node): Labelled => {
      const priority =
        Number(node.isSelf) * 8 + Number(node.id === active) * 16 + Number(working.has(node.id)) * 4 + loadOf(node);
      return {
        id: node.id,
        ...toScreen(node.id),
        radius: radiusOf(node) * scale,
        text: node.isSelf ? 'this node' : node.name,
        priority,
      };
    });
    return placeLabels(labelled, WIDTH, HEIGHT);
    // The version stands for the places, which the layout keeps to itself.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [model, toScreen, scale, active, working, version]);

  const byDistance = useMemo(
    () => [...model.nodes].sort((a, b) => Number(b.isSelf) - Number(a.isSelf) || (a.rttUs || 1e15) - (b.rttUs || 1e15)),
    [model],
  );
  const place = byDistance.findIndex((node) => node.id === active);
  const current = byDistance[place];
  const go = (to: number) => setActive(byDistance[Math.min(byDistance.length - 1, Math.max(0, to))]?.id ?? null);
  const actions: Record<string, () => void> = {
    ArrowRight: () => go(place + 1),
    ArrowDown: () => go(place + 1),
    ArrowLeft: () => go(place - 1),
    ArrowUp: () => go(place - 1),
    Home: () => go(0),
    End: () => go(byDistance.length - 1),
    Escape: () => setActive(null),
    '+': () => by(1.4),
    '=': () => by(1.4),
    '-': () => by(1 / 1.4),
    '0': reset,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  };
  const origin = { x: WIDTH / 2, y: HEIGHT / 2 };
  return (
    <div className="nm-graph">
      <div
        className="nm-scene"
        role="application"
        aria-roledescription="map of nodes"
        aria-label={`${model.nodes.length - 1} peers around this node, nearer means a shorter round trip`}
        aria-describedby={help}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        <svg ref={svg} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
          <g
            ref={world}
            transform={`translate(${transform.x},${transform.y}) scale(${transform.k}) translate(${origin.x},${origin.y}) scale(${fit})`}
          >
            {links.map((link) => (
              <line
                key={linkKey(link)}
                className="nm-link"
                {...endsOf(layout, link)}
                ref={(element) => {
                  if (element) lines.current.set(linkKey(link), element);
                  else lines.current.delete(linkKey(link));
                }}
              />
            ))}
            {pulses.map((pulse) => {
              const link = links.find(({ source, target }) => source === pulse.peer || target === pulse.peer);
              if (!link) return null;
              return <line key={pulse.key} className="nm-pulse" pathLength={100} {...endsOf(layout, link)} />;
            })}
            {model.nodes.map((node) => {
              const { x, y } = layout.position(node.id);
              return (
                <g
                  key={node.id}
                  transform={`translate(${x.toFixed(1)},${y.toFixed(1)})`}
                  ref={(element) => {
                    if (element) shapes.current.set(node.id, element);
                    else shapes.current.delete(node.id);
                  }}
                  onPointerEnter={() => setActive(node.id)}
                >
                  <Node node={node} isActive={node.id === active} />
                </g>
              );
            })}
          </g>
          <g className="nm-labels">
            {labels.map(({ id, x, y, anchor, text }) => (
              <text key={id} x={x} y={y} textAnchor={anchor}>
                {text}
              </text>
            ))}
            {groups.map(({ x, y, count }) => (
              <text key={`${x},${y}`} x={x} y={y} textAnchor="middle" className="nm-group">
                +{count}
              </text>
            ))}
          </g>
        </svg>
        <div role="status" className="sr-only">
          {current &&
            `${current.name}, ${current.isSelf ? 'this node' : timeText(current.rttUs)}, ${current.running} running`}
        </div>
      </div>
      <div>
        <div className="rv-toggle" role="group" aria-label="Map">
          <button type="button" onClick={() => by(1.4)} aria-label="Zoom in">
            +
          </button>
          <button type="button" onClick={() => by(1 / 1.4)} aria-label="Zoom out">
            −
          </button>
          <button type="button" onClick={reset}>
            Whole
          </button>
          <button type="button" onClick={() => setAgain(again + 1)}>
            Arrange anew
          </button>
        </div>
        <Legend nodes={model.nodes} />
        <Facts node={current} />
        {whole.nodes.length > model.nodes.length && (
          <p className="rv-note">
            The nearest {model.nodes.length} of {whole.nodes.length} nodes are drawn; the table lists all.
          </p>
        )}
        <p id={help} className="muted">
          Arrows go from node to node, nearest first; + and − zoom, 0 shows the whole.
        </p>
      </div>
    </div>
  );
}

function endsOf(layout: MapLayout, link: { source: string; target: string }) {
  const [from, to] = [layout.position(link.source), layout.position(link.target)];
  return { x1: from.x.toFixed(1), y1: from.y.toFixed(1), x2: to.x.toFixed(1), y2: to.y.toFixed(1) };
}

function setEnds(element: SVGLineElement, layout: MapLayout, link: { source: string; target: string }): void {
  for (const [name, value] of Object.entries(endsOf(layout, link))) element.setAttribute(name, value);
}
