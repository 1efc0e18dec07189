// Each verdict made anew: who had a seat, what they found, and whether that is what the verdict says.
import type { Hex } from './bytes.js';
import type { Commitment, Decision, Policy, Verdict } from './records.js';
import { demand, refuse } from './refused.js';
import { isFoundAgainst, judge, type Ballot } from './quorum.js';
import { Rounds, isSampled, seatOrder, type Round, type SeatOrder } from './rounds.js';
import { covers, expand } from './shards.js';
import { pairOf, type Signed, type Story } from './story.js';
import type { Field } from './task.js';
import { MAX_COMMITTED, checkAward, committedShards, openExecution, openVerification } from './work.js';
import type { Finding, Opened } from './work.js';

export interface SeatProof {
  node: Hex;
  agreed: boolean;
}

/** What is proven of one shard. */
export interface ShardProof {
  shard: number;
  decision: Decision;
  worker: Hex;
  finding: Finding;
  seats: SeatProof[];
  sameOwner: boolean;
  selfExecuted: boolean;
  rejectedAttempts: number;
}

/** What a ledger decided of a worker's commitment; of a paid task that counts, and no draw of the publisher's. */
export interface PaidWork {
  commitment: Signed<Commitment>;
  receipt: Hex | undefined;
  shards: Map<number, { decision: Decision; seats: SeatProof[] }>;
  sameOwner: boolean;
}

/** What of a receipt was accepted on a sample. */
interface Spared {
  receipt: Hex;
  worker: Hex;
  drawn: number[];
}

interface Judged {
  verdict: Verdict;
  opened: Opened;
  shards: number[];
  paid: PaidWork | undefined;
}

export function ballotOf(finding: Finding): Ballot {
  return { digest: finding.digest, exhausted: finding.outcome.kind === 'stack-exhausted' };
}

export class Verdicts {
  readonly proofs = new Map<number, ShardProof>();
  readonly #opened = new Map<Hex, Opened>();
  readonly #found = new Map<Hex, Map<number, Finding>>();
  readonly #spared: Spared[] = [];
  readonly #failedReceipts = new Set<Hex>();
  readonly #rejectedWorkers = new Set<Hex>();
  readonly #guilty = new Set<Hex>();

  constructor(
    readonly story: Story,
    readonly field: Field,
    readonly policy: Policy,
    readonly rounds: Rounds,
    readonly paid: ReadonlyMap<Hex, PaidWork> | undefined,
  ) {}

  /** The first half: the verdict is the publisher's, on what an awarded worker revealed as it had committed to it. */
  checkWork(verdict: Signed<Verdict>): Judged {
    const { record } = verdict;
    const { intent } = this.field;
    demand(verdict.signer === intent.signer, "a verdict is not the publisher's");
    const shards = expand(record.shards, intent.record.shards, MAX_COMMITTED);
    demand(shards.length > 0, 'a verdict is on no shard');
    const receipt = this.story.receipts.get(record.receipt);
    demand(receipt !== undefined, "a worker's receipt is missing");
    const paid = this.#paidWork(receipt.record.commitment);
    const opened = this.#openedBy(record.receipt, paid);
    demand(
      shards.every((shard) => opened.findings.has(shard)),
      "a worker's receipt does not cover all shards of its verdict",
    );
    checkAward(this.story, this.field, receipt.record.award, opened.worker, shards);
    return { verdict: record, opened, shards, paid };
  }

  /** The second half: the decision. */
  checkDecision({ verdict, opened, shards, paid }: Judged): void {
    const proofs = shards.map((shard) => this.#plain(shard, verdict, opened));
    if (paid !== undefined) this.#checkPaid(verdict, paid, proofs);
    else if (verdict.draw === undefined) this.#checkUnverified(verdict);
    else this.#checkDrawn(verdict, this.rounds.of(verdict.draw), opened, proofs);
    for (const proof of proofs) this.#keep(proof);
  }

  /** What only all verdicts together show. */
  finish(): void {
    for (const open of this.story.opens.values())
      for (const node of open.record.barred)
        demand(this.#guilty.has(node), 'a round bars a node without a verdict against it');
    for (const spared of this.#spared) {
      demand(
        !this.#failedReceipts.has(spared.receipt) && !this.#rejectedWorkers.has(spared.worker),
        'a shard counts as spot-checked although a drawn one of its worker did not hold',
      );
      demand(
        spared.drawn.every((shard) => this.proofs.has(shard)),
        'a shard that was drawn to be re-executed has no verdict',
      );
    }
  }

  #paidWork(commitment: Hex): PaidWork | undefined {
    if (this.paid === undefined) return undefined;
    return this.paid.get(commitment) ?? refuse('work-missing: a shard was decided, and no work of the ledger is shown');
  }

  #openedBy(cid: Hex, paid: PaidWork | undefined): Opened {
    const known = this.#opened.get(cid);
    if (known !== undefined) return known;
    const receipt = this.story.receipts.get(cid);
    demand(receipt !== undefined, "a worker's receipt is missing");
    // What was anchored counts, whether its record came to the publisher or not.
    const commitment = this.story.commitments.get(receipt.record.commitment) ?? paid?.commitment;
    demand(commitment !== undefined, "a worker's commitment is missing");
    const opened = openExecution(receipt, commitment, this.field.intent.record);
    this.#opened.set(cid, opened);
    return opened;
  }

  #plain(shard: number, verdict: Verdict, opened: Opened): ShardProof {
    const finding = opened.findings.get(shard) ?? refuse('a finding is missing');
    return {
      shard,
      decision: verdict.decision,
      worker: opened.worker,
      finding,
      seats: [],
      sameOwner: false,
      selfExecuted: opened.worker === this.field.intent.signer,
      rejectedAttempts: 0,
    };
  }

  #keep(proof: ShardProof): void {
    const earlier = this.proofs.get(proof.shard);
    if (earlier !== undefined) {
      demand(earlier.decision === 'rejected' || earlier.decision === 'disputed', 'a shard was decided twice');
      proof.rejectedAttempts = earlier.rejectedAttempts + 1;
    }
    this.proofs.set(proof.shard, proof);
  }

  #checkUnverified(verdict: Verdict): void {
    const { verifiers } = this.field.intent.record;
    demand(
      verdict.decision === 'unverified' && verdict.verifications.length === 0 && verdict.contribution === 0,
      'a verdict without a draw can only be "unverified"',
    );
    demand(
      verifiers === 0 || this.field.offers.length <= verifiers,
      'a shard is unverified although there were verifiers enough',
    );
  }

  #checkPaid(verdict: Verdict, paid: PaidWork, proofs: ShardProof[]): void {
    demand(
      verdict.draw === undefined && verdict.verifications.length === 0 && verdict.contribution === 0,
      "wrong-verdict: the ledger decided, and a verdict names a draw of the publisher's",
    );
    demand(paid.receipt === verdict.receipt, "wrong-verdict: a verdict is on another receipt than the ledger's");
    for (const proof of proofs) {
      demand(!proof.selfExecuted, 'the publisher ran it itself, and a ledger does not pay for that');
      const decided = paid.shards.get(proof.shard);
      demand(decided?.decision === verdict.decision, 'wrong-verdict: the ledger decided a shard otherwise');
      proof.seats = decided.seats;
      proof.sameOwner = paid.sameOwner;
    }
  }

  #checkDrawn(verdict: Verdict, round: Round, opened: Opened, proofs: ShardProof[]): void {
    const at = round.open.record.commitments.indexOf(opened.commitment);
    const seats = round.open.record.seats[at];
    demand(seats !== undefined && seats > 0, "a worker's commitment was not fixed before the draw");
    const { sample } = this.field.intent.record;
    const isDrawn = (shard: number) => isSampled(round.seed, opened.commitment, shard, sample);
    const isSpared = verdict.decision === 'spot_checked';
    demand(
      proofs.every((proof) => isDrawn(proof.shard) !== isSpared),
      isSpared
        ? 'a shard counts as spot-checked although it was drawn to be re-executed'
        : 'a shard was judged although it was not drawn to be re-executed',
    );
    if (!isSpared) return this.#checkSeats(verdict, round, seats, opened, proofs);
    demand(
      verdict.verifications.length === 0 && verdict.contribution === 0,
      'what was not re-executed has verifications or a score',
    );
    const drawn = [...opened.findings.keys()].filter(isDrawn);
    this.#spared.push({ receipt: verdict.receipt, worker: opened.worker, drawn });
  }

  #checkSeats(verdict: Verdict, round: Round, seats: number, opened: Opened, proofs: ShardProof[]): void {
    const { verifications } = verdict;
    demand(
      verifications.every((cid, i) => i === 0 || (verifications[i - 1] ?? '') < cid),
      'a verdict does not name its verifications in order, each once',
    );
    const answers = verifications.map((cid) => this.#answer(cid, verdict, round, opened));
    const counted = new Set<Map<number, Finding>>();
    for (const proof of proofs) {
      const { current, sameOwner, wanted } = this.#seatsOf(round, seats, opened.commitment, proof);
      demand(current.length === wanted, 'not every seat has a verification');
      const votes = current.map((node) => {
        const mine = answers.filter((answer) => answer.node === node && answer.found.has(proof.shard));
        const [answer] = mine;
        demand(answer !== undefined && mine.length === 1, 'a seat has not exactly one verification');
        counted.add(answer.found);
        return { node, finding: answer.found.get(proof.shard) ?? refuse('a finding is missing') };
      });
      this.#judge(verdict, proof, votes, wanted);
      proof.sameOwner = sameOwner;
    }
    demand(
      answers.every((answer) => counted.has(answer.found)),
      'a verdict names a verification that is of none of its seats',
    );
  }

  #judge(verdict: Verdict, proof: ShardProof, votes: { node: Hex; finding: Finding }[], wanted: number): void {
    const worker = ballotOf(proof.finding);
    const ballots = votes.map(({ finding }) => ballotOf(finding));
    const { decision, agreed } = judge(worker, ballots, wanted, this.policy.verification_quorum);
    demand(decision === verdict.decision, 'a verdict is not what the verifications give');
    demand(
      verdict.timeliness <= 1000 && verdict.contribution === Math.floor((agreed * verdict.timeliness) / wanted),
      'a contribution score is not what the verifications give',
    );
    proof.seats = votes.map(({ node, finding }) => ({ node, agreed: finding.digest === worker.digest }));
    if (decision === 'rejected') this.#rejectedWorkers.add(proof.worker);
    if (decision === 'rejected') this.#guilty.add(proof.worker);
    if (decision === 'rejected' || decision === 'disputed') this.#failedReceipts.add(verdict.receipt);
    votes.forEach(({ node }, i) => {
      const ballot = ballots[i];
      if (ballot !== undefined && isFoundAgainst(decision, worker, ballot)) this.#guilty.add(node);
    });
  }

  #answer(cid: Hex, verdict: Verdict, round: Round, opened: Opened): { node: Hex; found: Map<number, Finding> } {
    const verification = this.story.verifications.get(cid);
    demand(verification !== undefined, 'a verification is missing');
    demand(verification.record.receipt === verdict.receipt, 'a verification is of another receipt');
    const commitment = this.story.commitments.get(verification.record.commitment);
    demand(
      commitment !== undefined && commitment.signer === verification.signer,
      "a verifier's commitment is missing or another's",
    );
    demand(
      commitment.record.basis === round.draw.cid && commitment.record.worker === opened.commitment,
      "a verifier's commitment was not made for this draw",
    );
    const { shards } = this.field.intent.record;
    const found = this.#found.get(cid) ?? openVerification(verification.record, commitment, opened, shards);
    demand(found.size === committedShards(commitment, shards).length, 'a verification is not of its commitment');
    this.#found.set(cid, found);
    return { node: verification.signer, found };
  }

  #seatsOf(
    round: Round,
    seats: number,
    commitment: Hex,
    proof: ShardProof,
  ): { current: Hex[]; sameOwner: boolean; wanted: number } {
    const { intent } = this.field;
    const changes = pairOf(round.draw.cid, commitment);
    const lost = new Set<Hex>();
    for (const { signer, record } of this.story.substitutions.get(changes) ?? []) {
      if (!covers(record.shards, proof.shard)) continue;
      demand(signer === intent.signer, "a substitution is not the publisher's");
      lost.add(record.failed);
    }
    let wanted = seats;
    for (const { signer, record } of this.story.extensions.get(changes) ?? []) {
      if (!covers(record.shards, proof.shard)) continue;
      demand(signer === intent.signer, "an extension is not the publisher's");
      wanted = Math.max(wanted, record.seats);
    }
    const { minimum_verifiers, maximum_verifiers } = this.policy.verification_quorum;
    demand(
      wanted >= minimum_verifiers && wanted <= maximum_verifiers,
      "a number of verifiers is outside the policy's bounds",
    );
    const order = this.#order(round, commitment, proof);
    const current = order.nodes.filter((node) => !lost.has(node)).slice(0, wanted);
    const sameOwner = current.some((node) => order.nodes.indexOf(node) >= order.sameOwnerFrom);
    return { current, sameOwner, wanted };
  }

  #order(round: Round, commitment: Hex, proof: ShardProof): SeatOrder {
    const { intent, offers } = this.field;
    const owner = offers.find((offer) => offer.signer === proof.worker)?.record.owner ?? '';
    return seatOrder(round.seed, commitment, proof.shard, round.members, [
      { node: proof.worker, owner },
      { node: intent.signer, owner: intent.record.owner },
    ]);
  }
}
