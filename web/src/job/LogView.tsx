// A job's log as it comes: searched, followed, and of one shard where wanted.
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useEffect, useMemo, useRef, useState } from 'react';
import { useSession } from '../app/session';
import { ansiClass, parseAnsi, withoutAnsi } from '../lib/ansi';
import { mesh } from '../lib/commands';
import { count, plural, shortId, shortPeer } from '../lib/format';
import { visible } from '../lib/visible';
import { Check, Command, Empty, TextField } from '../ui/kit';
import type { LogLine } from './log_buffer';
import { LogBuffer } from './log_buffer';

const lineHeight = 20;

/** Follows the log until the job ends. */
function useLog(id: string): { lines: readonly LogLine[]; leftOut: number } {
  const { mesh: client, fail } = useSession();
  const [view, setView] = useState<{ lines: readonly LogLine[]; leftOut: number }>({ lines: [], leftOut: 0 });
  useEffect(() => {
    const abort = new AbortController();
    const buffer = new LogBuffer();
    let frame = 0;
    const show = () => {
      frame = 0;
      setView({ lines: buffer.view(), leftOut: buffer.leftOut });
    };
    const follow = async () => {
      for await (const line of client.job(id).logs({ follow: true, signal: abort.signal })) {
        if (line.anew) buffer.forget(line.shard);
        buffer.push(line.shard, line.peer, line.text);
        if (frame === 0) frame = requestAnimationFrame(show);
      }
      show();
    };
    follow().catch((error: unknown) => {
      if (!abort.signal.aborted) fail(error);
    });
    return () => {
      abort.abort();
      cancelAnimationFrame(frame);
    };
  }, [client, id, fail]);
  return view;
}

export function findLines(lines: readonly LogLine[], text: string, shard: string): readonly LogLine[] {
  const wanted = text.toLowerCase();
  const number = /^\d+$/.test(shard.trim()) ? Number(shard) : null;
  if (wanted === '' && number === null) return lines;
  return lines.filter(
    (line) =>
      (number === null || line.shard === number) &&
      (wanted === '' || withoutAnsi(line.text).toLowerCase().includes(wanted)),
  );
}

const Line = memo(function Line({ line, many }: { line: LogLine; many: boolean }) {
  return (
    <>
      {many && (
        <span className="log-from" title={line.peer === null ? undefined : visible(line.peer)}>
          {line.shard}
          {line.peer !== null && ` ${visible(shortPeer(line.peer))}`}
        </span>
      )}
      <span className="log-text">
        {parseAnsi(line.text).spans.map((span, index) => (
          <span key={index} className={ansiClass(span.style)}>
            {span.text}
          </span>
        ))}
      </span>
    </>
  );
});

export function LogView({ id, many }: { id: string; many: boolean }) {
  const { lines, leftOut } = useLog(id);
  return <LogLines id={id} many={many} lines={lines} leftOut={leftOut} />;
}

export function LogLines({
  id,
  many,
  lines,
  leftOut,
}: {
  id: string;
  many: boolean;
  lines: readonly LogLine[];
  leftOut: number;
}) {
  const [text, setText] = useState('');
  const [shard, setShard] = useState('');
  const [following, setFollowing] = useState(true);
  const scroller = useRef<HTMLDivElement>(null);
  const found = useMemo(() => findLines(lines, text, shard), [lines, text, shard]);
  const virtual = useVirtualizer({
    count: found.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => lineHeight,
    overscan: 20,
  });
  useEffect(() => {
    if (following && found.length > 0) virtual.scrollToIndex(found.length - 1, { align: 'end' });
  }, [following, found.length, virtual]);
  return (
    <>
      <div className="toolbar">
        <TextField label="Search the log" type="search" value={text} onValue={setText} />
        {many && <TextField label="Of shard" inputMode="numeric" size={6} value={shard} onValue={setShard} />}
        <Check label="Follow" checked={following} onValue={setFollowing} />
        <span className="muted num" aria-live="polite">
          {found.length === lines.length
            ? plural(lines.length, 'line')
            : `${count(found.length)} of ${plural(lines.length, 'line')}`}
        </span>
      </div>
      {leftOut > 0 && (
        <p className="note note-warn">
          {count(leftOut)} earlier lines are left out here; the command below prints all of them.
        </p>
      )}
      {found.length === 0 ? (
        <Empty title={lines.length === 0 ? 'The function has written nothing to stderr yet' : 'No line holds that'} />
      ) : (
        <div
          className="log"
          ref={scroller}
          tabIndex={0}
          role="log"
          aria-live="off"
          aria-label="Log"
          onWheel={(event) => {
            if (event.deltaY < 0) setFollowing(false);
          }}
        >
          <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
            {virtual.getVirtualItems().map((item) => {
              const line = found[item.index];
              if (!line) return null;
              return (
                <div
                  key={line.number}
                  className="log-line"
                  style={{ height: lineHeight, transform: `translateY(${item.start}px)` }}
                >
                  <Line line={line} many={many} />
                </div>
              );
            })}
          </div>
        </div>
      )}
      <Command line={mesh('job', 'logs', '-f', shortId(id))} />
    </>
  );
}
