import { useEffect, useState } from 'react';
import type { Job, MeshEvent } from '../data/model';
import { clock, duration } from '../lib/format';
import { visible } from '../lib/visible';
import { spansOf } from './timeline';

/** The time, again each second while something runs. Nothing is asked of the node for it. */
export function useNow(ticking: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}

export function PhaseLine({ job, moments }: { job: Job; moments: readonly MeshEvent[] }) {
  const now = useNow(!job.ended);
  const spans = spansOf(job, moments, Math.max(now, Date.parse(moments.at(-1)?.time ?? '') || 0));
  const whole = Math.max(1, (spans.at(-1)?.to ?? 0) - (spans[0]?.from ?? 0));
  return (
    <ol className="phases" aria-label="Phases">
      {spans.map((span) => (
        <li
          key={`${span.phase} ${span.from}`}
          className={`phase phase-${span.phase}`}
          style={{ flexGrow: Math.max((span.to - span.from) / whole, 0.001) }}
          title={`${span.phase} from ${clock(new Date(span.from).toISOString())}${span.text ? `: ${visible(span.text)}` : ''}`}
        >
          <span className="phase-bar" aria-hidden="true" />
          <span className="phase-name">{visible(span.phase)}</span>
          <span className="phase-time num">{duration(span.to - span.from)}</span>
        </li>
      ))}
    </ol>
  );
}
