import { defaultRangeExtractor, useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from 'react';

import { plural } from '../lib/format';
import { visibleProseLines } from '../lib/visible';
import { type JsonDocument, Kind } from './json';
import { printableLine } from './printable';
import { findText, MAX_MATCHES, openBelow, type TreeRow, treeRows, wayTo } from './tree';
import { useWork } from './useWork';
import type { Work } from './work';

const ROW_HEIGHT = 24;
const JUMP = 20;
/** Between typing and searching, so that not every letter opens a part of the tree. */
const PAUSE_MS = 250;
const DETAIL = 64 * 1024;

function valueText(document: JsonDocument, node: number): string {
  const kind = document.kind(node);
  const children = document.childCount(node);
  if (kind === Kind.array) return `[ ${plural(children, 'element')} ]`;
  if (kind === Kind.object) return `{ ${plural(children, 'member')} }`;
  const text = printableLine(document.text(node, 1200), 300);
  return kind === Kind.string ? `"${text}"` : text;
}

function kindName(kind: Kind): string {
  if (kind === Kind.number) return 'number';
  return kind === Kind.string ? 'string' : kind >= Kind.array ? 'container' : 'word';
}

function label(document: JsonDocument, row: TreeRow): string {
  if (document.hasKey(row.node)) return printableLine(document.key(row.node, 400), 100);
  return row.index >= 0 ? String(row.index) : '';
}

function Row({ document, row }: { document: JsonDocument; row: TreeRow }) {
  if (row.page)
    return (
      <span className="muted">
        [{row.page.from} … {row.page.to - 1}]
      </span>
    );
  const name = label(document, row);
  return (
    <>
      {name !== '' && <span className="rv-key">{name}: </span>}
      <bdi className={`rv-${kindName(document.kind(row.node))}`}>{valueText(document, row.node)}</bdi>
    </>
  );
}

// Work that is done before its first slice.
// eslint-disable-next-line require-yield
function* nothing(): Work<number[]> {
  return [];
}

/** The text to look for, and the way through what was found. */
function Search({ document, onFound }: { document: JsonDocument; onFound: (node: number) => void }) {
  const [typed, setTyped] = useState('');
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const search = useWork(() => (text === '' ? nothing() : findText(document, text)), [document, text]);
  const found = search.state === 'done' ? search.value : [];
  const go = (place: number) => {
    if (found.length === 0) return;
    const next = (place + found.length) % found.length;
    setAt(next);
    onFound(found[next]!);
  };
  useEffect(() => {
    const timer = setTimeout(() => setText(typed), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    setAt(0);
    if (search.state === 'done' && search.value.length > 0) onFound(search.value[0]!);
    // Only a new answer moves the tree, not a new function.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [search.state, text]);
  const total = found.length === MAX_MATCHES ? `the first ${MAX_MATCHES}` : String(found.length);
  return (
    <div role="search">
      <input
        type="search"
        aria-label="Search keys and values"
        placeholder="Search"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter') return;
          if (typed !== text) setText(typed);
          else go(event.shiftKey ? at - 1 : at + 1);
        }}
      />
      <button type="button" disabled={found.length === 0} onClick={() => go(at - 1)} aria-label="Match before">
        ↑
      </button>
      <button type="button" disabled={found.length === 0} onClick={() => go(at + 1)} aria-label="Next match">
        ↓
      </button>
      <span role="status" className="muted">
        {text !== '' &&
          (search.state === 'done' ? (found.length === 0 ? 'not found' : `${at + 1} of ${total}`) : 'searching')}
      </span>
    </div>
  );
}

function Detail({ document, row }: { document: JsonDocument; row: TreeRow }) {
  const { path } = useMemo(() => wayTo(document, row.node), [document, row.node]);
  const isLong = document.ends[row.node]! - document.starts[row.node]! > 200 && !document.isContainer(row.node);
  return (
    <div className="rv-detail">
      <code>
        <bdi>{path === '' ? '(the whole)' : printableLine(path, 400)}</bdi>
      </code>
      {isLong && <pre dir="ltr">{visibleProseLines(document.text(row.node, DETAIL))}</pre>}
    </div>
  );
}

export function TreeView({ document }: { document: JsonDocument }) {
  const base = useId();
  const scroll = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(() => openBelow(document, 0, new Set(), 60));
  const [active, setActive] = useState('0');
  const { rows, isCut } = useMemo(() => treeRows(document, open), [document, open]);
  const place = Math.max(
    0,
    useMemo(() => rows.findIndex((row) => row.id === active), [rows, active]),
  );
  const current = rows[place]!;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 10,
    // The active row is always there, since aria-activedescendant names it.
    rangeExtractor: (range) => [...new Set([...defaultRangeExtractor(range), place])].sort((a, b) => a - b),
  });
  useEffect(() => virtual.scrollToIndex(place), [place, virtual]);

  const canOpen = (row: TreeRow) => row.page !== null || document.childCount(row.node) > 0;
  const toggle = (row: TreeRow, to = !open.has(row.id)) => {
    if (!canOpen(row)) return;
    const next = new Set(open);
    if (to) next.add(row.id);
    else next.delete(row.id);
    setOpen(next);
  };
  const goTo = (index: number) => setActive(rows[Math.min(rows.length - 1, Math.max(0, index))]!.id);
  const goToParent = () => {
    for (let i = place - 1; i >= 0; i -= 1) if (rows[i]!.level < current.level) return goTo(i);
  };
  const actions: Record<string, () => void> = {
    ArrowDown: () => goTo(place + 1),
    ArrowUp: () => goTo(place - 1),
    PageDown: () => goTo(place + JUMP),
    PageUp: () => goTo(place - JUMP),
    Home: () => goTo(0),
    End: () => goTo(rows.length - 1),
    ArrowRight: () => {
      if (canOpen(current) && !open.has(current.id)) toggle(current, true);
      else if (canOpen(current)) goTo(place + 1);
    },
    ArrowLeft: () => {
      if (canOpen(current) && open.has(current.id)) toggle(current, false);
      else goToParent();
    },
    Enter: () => toggle(current),
    ' ': () => toggle(current),
    '*': () => setOpen(openBelow(document, current.node, open)),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  };
  const reveal = (node: number) => {
    setOpen(new Set([...open, ...wayTo(document, node).open]));
    setActive(String(node));
  };
  return (
    <div className="rv-tree">
      <div className="rv-bar">
        <Search document={document} onFound={reveal} />
        <button type="button" onClick={() => setOpen(openBelow(document, 0, open))}>
          Open
        </button>
        <button
          type="button"
          onClick={() => {
            setOpen(new Set());
            setActive('0');
          }}
        >
          Close
        </button>
      </div>
      <div
        className="rv-scroll"
        ref={scroll}
        role="tree"
        aria-label="JSON"
        tabIndex={0}
        aria-activedescendant={`${base}-${current.id}`}
        onKeyDown={onKeyDown}
      >
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index]!;
            return (
              <div
                key={row.id}
                id={`${base}-${row.id}`}
                role="treeitem"
                aria-level={row.level}
                aria-posinset={row.position}
                aria-setsize={row.siblings}
                aria-selected={row.id === current.id}
                {...(canOpen(row) ? { 'aria-expanded': open.has(row.id) } : {})}
                className="rv-treerow"
                style={{ top: item.start, height: ROW_HEIGHT, paddingInlineStart: `${row.level * 1.1}rem` }}
                onClick={() => {
                  setActive(row.id);
                  toggle(row);
                }}
              >
                <span aria-hidden="true" className="rv-twist">
                  {canOpen(row) ? (open.has(row.id) ? '▾' : '▸') : ''}
                </span>
                <Row document={document} row={row} />
              </div>
            );
          })}
        </div>
      </div>
      {isCut && <p className="rv-note">So much is open that the rest is not listed. Close some of it.</p>}
      <Detail document={document} row={current} />
    </div>
  );
}
