// The phases of a job on a time line, out of its events. Pure.
import type { Job, MeshEvent } from '../data/model';
import { isEnd, isPhase } from '../data/model';

export interface Span {
  readonly phase: string;
  readonly from: number; // milliseconds since 1970
  readonly to: number;
  readonly text: string;
}

/** Without events (they are kept for a while only) it is one span, from what the job itself says. */
export function spansOf(job: Job, moments: readonly MeshEvent[], now: number): Span[] {
  const begun = Date.parse(job.created);
  const ended = job.elapsed_ms === null ? (job.ended ? begun : now) : begun + job.elapsed_ms;
  const changes = moments
    .filter((event) => event.kind === 'job.phase' && isPhase(event.phase ?? ''))
    .map((event) => ({ phase: event.phase ?? '', at: Date.parse(event.time), text: event.text ?? '' }))
    .filter((change) => !Number.isNaN(change.at));
  if (Number.isNaN(begun)) return [];
  const first = changes[0];
  if (!first) return [{ phase: job.phase, from: begun, to: Math.max(begun, ended), text: '' }];
  const spans: Span[] = [];
  if (first.phase !== 'bidding' && first.at > begun)
    spans.push({ phase: 'earlier', from: begun, to: first.at, text: 'what the node no longer keeps events of' });
  changes.forEach((change, index) => {
    if (isEnd(change.phase)) return;
    const next = changes[index + 1];
    const to = Math.max(change.at, next ? next.at : job.ended ? Math.max(ended, change.at) : now);
    spans.push({ phase: change.phase, from: change.at, to, text: change.text });
  });
  return spans;
}
