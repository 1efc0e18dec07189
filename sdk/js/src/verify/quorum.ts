// What the findings of a worker and of all seats come to under a policy.
import type { Hex } from './bytes.js';
import type { Decision, Policy } from './records.js';

export type Quorum = Policy['verification_quorum'];

/** A finding as it is weighed. */
export interface Ballot {
  digest: Hex;
  /** Where the stack runs out depends on the compiler: against another outcome that decides nothing. */
  exhausted: boolean;
}

export function neededOf(quorum: Quorum, seats: number): number {
  return Math.ceil((seats * quorum.required_percentage) / 100);
}

function differsByStack(a: Ballot, b: Ballot): boolean {
  return a.digest !== b.digest && a.exhausted !== b.exhausted;
}

export function judge(
  worker: Ballot,
  votes: readonly Ballot[],
  seats: number,
  quorum: Quorum,
): { decision: Decision; agreed: number } {
  const needed = neededOf(quorum, seats);
  const agreed = votes.filter((vote) => vote.digest === worker.digest).length;
  const unclear = votes.filter((vote) => differsByStack(vote, worker)).length;
  const others = votes.filter((vote) => vote.digest !== worker.digest && !differsByStack(vote, worker));
  const largest = Math.max(0, ...others.map((vote) => votes.filter((one) => one.digest === vote.digest).length));
  if (seats === 0) return { decision: 'unverified', agreed };
  if (agreed >= needed) return { decision: 'accepted', agreed };
  if (largest >= needed) return { decision: 'rejected', agreed };
  return { decision: Math.max(agreed, largest) + unclear >= needed ? 'undetermined' : 'disputed', agreed };
}

/** Whether a decision found against a seat: it backed a rejected worker, or contradicted an accepted one. */
export function isFoundAgainst(decision: Decision, worker: Ballot, seat: Ballot): boolean {
  if (decision === 'rejected') return seat.digest === worker.digest;
  return decision === 'accepted' && seat.digest !== worker.digest && !differsByStack(seat, worker);
}
