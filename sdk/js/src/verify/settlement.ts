// What the ledger's rules make of a paid work, from its entry, its escrow and the policy alone: the decision on each shard, and
// who gets how much out of the escrow.
import { hex, type Hex } from './bytes.js';
import type { Answer, Escrow, Work, WorkDraw } from './ledger_records.js';
import { judge, type Ballot } from './quorum.js';
import type { Decision, Policy } from './records.js';
import { demand } from './refused.js';
import { countOf, covers, expand } from './shards.js';
import { MAX_COMMITTED } from './work.js';

const DIGEST_BYTES = 32;
export const MAX_PAID_SEATS = 24;
const FOREVER = 1n << 64n;

export interface Settlement {
  decisions: Decision[];
  accepted: number;
  rejected: number;
  undecided: number;
  /** Out of the escrow, by account. */
  earned: Map<Hex, bigint>;
  treasury: bigint;
}

interface Vote {
  node: Hex;
  weight: bigint;
  ballot: Ballot;
}

export function shardsOf(work: Work, shards: number): number[] {
  return expand(work.shards, shards, MAX_COMMITTED);
}

function nodeAt(draw: WorkDraw, row: number, place: number): number {
  const at = (row * draw.width + place) * 2;
  return ((draw.order[at] ?? 0) << 8) | (draw.order[at + 1] ?? 0);
}

function checkDrawForm(draw: WorkDraw, count: number): void {
  const { nodes, weights, width, order, seats } = draw;
  demand(
    seats <= MAX_PAID_SEATS &&
      width <= nodes.length &&
      weights.length === nodes.length &&
      order.length === (nodes.length === 0 ? 0 : count * width * 2),
    'bad-payment: a drawing that does not read',
  );
  for (let at = 0; at < count * width; ++at)
    demand(nodeAt(draw, 0, at) < nodes.length, 'bad-payment: a drawing that does not read');
}

function checkAnswerForm(answer: Answer, work: Work, numbers: ReadonlySet<number>, shards: number): void {
  const { differing, found, exhausted } = answer;
  demand(
    answer.round < work.draws.length &&
      countOf(answer.shards, shards) <= MAX_COMMITTED &&
      expand(answer.shards, shards, MAX_COMMITTED).every((shard) => numbers.has(shard)),
    'bad-payment: an answer on what a work has not',
  );
  demand(
    found.length === differing.length * DIGEST_BYTES &&
      exhausted.length === differing.length &&
      differing.every((shard, i) => i === 0 || (differing[i - 1] ?? 0) < shard),
    'bad-payment: an answer that does not read',
  );
}

/** Whether what is read out of a work's entry lies where it should. */
export function checkWorkForm(work: Work, shards: number, fee: bigint): void {
  const numbers = shardsOf(work, shards);
  const count = numbers.length;
  demand(count > 0, 'bad-payment: a work on no shard');
  demand(
    work.cost <= fee && work.timeliness <= 1000,
    'bad-payment: a cost above the fee, or more than all of its time',
  );
  demand(work.accepted + work.rejected + work.undecided <= count, 'bad-payment: more shards decided than there are');
  const rows = work.receipt !== undefined && work.phase !== 'ended' ? count : 0;
  demand(
    work.findings.length === rows * DIGEST_BYTES && work.exhausted.length === rows,
    'bad-payment: another number of findings than of shards',
  );
  const known = new Set(numbers);
  for (const answer of work.answers) checkAnswerForm(answer, work, known, shards);
  for (const draw of work.draws) checkDrawForm(draw, count);
}

function ballotAt(digests: Uint8Array, exhausted: Uint8Array, row: number): Ballot {
  const digest = hex(digests.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES));
  return { digest, exhausted: exhausted[row] !== 0 };
}

/** Those of a drawing who hold the seats on a row by a time, as places among its nodes. */
function seatsOf(work: Work, round: number, row: number, shard: number, timeMs: bigint): number[] {
  const draw = work.draws[round];
  if (draw === undefined) return [];
  const seats: number[] = [];
  for (let place = 0; place < draw.width && seats.length < draw.seats; ++place) {
    const at = nodeAt(draw, row, place);
    const node = draw.nodes[at];
    const isPassed = work.passed_over.some((one) => one.round === round && one.node === node && one.until_ms <= timeMs);
    if (!isPassed || answerOf(work, round, node, shard) !== undefined) seats.push(at);
  }
  return seats;
}

function answerOf(work: Work, round: number, node: Hex | undefined, shard: number): Answer | undefined {
  return work.answers.find((one) => one.round === round && one.node === node && covers(one.shards, shard));
}

/** The votes of one drawing's seats on a row, and how many seats count. */
function votesOf(
  work: Work,
  round: number,
  row: number,
  shard: number,
  timeMs: bigint,
): { votes: Vote[]; seats: number } {
  const draw = work.draws[round];
  if (draw === undefined) return { votes: [], seats: 0 };
  const votes: Vote[] = [];
  let committed = 0;
  // Who was passed over is final in the first drawing once the worker revealed.
  for (const at of seatsOf(work, round, row, shard, round === 0 ? FOREVER : timeMs)) {
    const node = draw.nodes[at] ?? '';
    const answer = answerOf(work, round, node, shard);
    if (answer === undefined) continue;
    ++committed;
    if (!answer.revealed) continue;
    const other = answer.differing.indexOf(shard);
    const ballot =
      other < 0 ? ballotAt(work.findings, work.exhausted, row) : ballotAt(answer.found, answer.exhausted, other);
    votes.push({ node, weight: draw.weights[at] ?? 1n, ballot });
  }
  return { votes, seats: round === 0 ? draw.seats : committed };
}

function decide(worker: Ballot, votes: readonly Vote[], seats: number, policy: Policy): Decision {
  const ballots = votes.map((vote) => vote.ballot);
  const { decision } = judge(worker, ballots, seats, policy.verification_quorum);
  return decision === 'unverified' ? 'disputed' : decision;
}

function add(earned: Map<Hex, bigint>, account: Hex, amount: bigint): void {
  earned.set(account, (earned.get(account) ?? 0n) + amount);
}

function percent(amount: bigint, percentage: number): bigint {
  return (amount * BigInt(percentage)) / 100n;
}

/** What one accepted shard pays: to the worker for its quality and timeliness, to those who agreed by their weights. */
function pay(
  result: Settlement,
  work: Work,
  fee: bigint,
  agreed: readonly Vote[],
  seats: number,
  policy: Policy,
): void {
  const rewards = policy.reward_settings;
  const most = percent(fee, rewards.worker_percentage);
  const price = work.cost < most ? work.cost : most;
  const [part, whole] = seats === 0 ? [1, 1] : [agreed.length, seats];
  add(result.earned, work.worker, (price * BigInt(part * work.timeliness)) / BigInt(whole * 1000));
  const pot = percent(fee, rewards.verifier_percentage);
  const total = agreed.reduce((sum, vote) => sum + vote.weight, 0n);
  for (const vote of agreed) add(result.earned, vote.node, total === 0n ? 0n : (pot * vote.weight) / total);
  result.treasury += percent(fee, rewards.platform_fee_percentage);
}

function nothing(): Settlement {
  return { decisions: [], accepted: 0, rejected: 0, undecided: 0, earned: new Map(), treasury: 0n };
}

/** Of a work whose worker has revealed. */
export function settle(work: Work, escrow: Escrow, policy: Policy, timeMs: bigint): Settlement {
  const result = nothing();
  for (const [row, shard] of shardsOf(work, escrow.shards).entries()) {
    const worker = ballotAt(work.findings, work.exhausted, row);
    const drawings = work.draws.map((_, round) => votesOf(work, round, row, shard, timeMs));
    const votes = drawings.flatMap((one) => one.votes);
    const seats = drawings.reduce((sum, one) => sum + one.seats, 0);
    const decision = decide(worker, votes, seats, policy);
    result.decisions.push(decision);
    if (decision === 'rejected') ++result.rejected;
    else if (decision !== 'accepted') ++result.undecided;
    else {
      ++result.accepted;
      const agreed = votes.filter(
        ({ ballot }) => ballot.digest === worker.digest && ballot.exhausted === worker.exhausted,
      );
      pay(result, work, escrow.fee, agreed, seats, policy);
    }
  }
  return result;
}

/** Of a work that its publisher accepted by itself, since nobody could be drawn. */
export function settleUnverified(work: Work, escrow: Escrow, policy: Policy): Settlement {
  const result = nothing();
  for (let left = shardsOf(work, escrow.shards).length; left > 0; --left) {
    result.decisions.push('unverified');
    ++result.accepted;
    pay(result, work, escrow.fee, [], 0, policy);
  }
  return result;
}

/** Of a work whose worker did not reveal in time. */
export function settleSilent(work: Work, escrow: Escrow): Settlement {
  const decisions = shardsOf(work, escrow.shards).map((): Decision => 'disputed');
  return { ...nothing(), decisions, undecided: decisions.length };
}
