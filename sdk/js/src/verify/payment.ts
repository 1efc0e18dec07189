// What a federation's ledger decided and paid, shown by nothing but the blocks in the bundle: the founding names the first
// validators, they certify blocks, whose states have the entries; drawings and settlements are made again from these.
//
// Not shown by it, as docs/design/protocols.md says: that those who were eligible had their weights and bonds, how many seats
// above the task's number a worker's score asked for, and who got what out of bonds.
import { concat, type Hex } from './bytes.js';
import type { Bundle } from './bundle.js';
import { TrustedSets, foundingSet, type Certified } from './certificates.js';
import { cidText, digestOf, peerId } from './cid.js';
import { checkDrawing } from './drawings.js';
import {
  BlockHeader,
  CertifiedEntry,
  Charter,
  DrawBasis,
  Escrow,
  Genesis,
  PaymentProof,
  ValidatorHop,
  Work,
  type TableName,
  type WorkLinks,
} from './ledger_records.js';
import type { Decision, Policy, TaskIntent } from './records.js';
import { Refused, demand, refuse } from './refused.js';
import type { ProvenPayment } from './report.js';
import { read, type Schema } from './schema.js';
import { checkWorkForm, settle, settleSilent, settleUnverified, shardsOf, type Settlement } from './settlement.js';
import { covers } from './shards.js';
import { checkEntry } from './state_proofs.js';
import type { Signed } from './story.js';
import type { PaidWork } from './verdicts.js';

interface Shown {
  block: Hex;
  header: BlockHeader;
  certified: Certified;
  entry: Uint8Array | undefined;
}

interface Sums {
  worker: bigint;
  verifiers: bigint;
  treasury: bigint;
  penalties: bigint;
  accepted: number;
}

/** A time as a block says it; none can be past what a date can say. */
function timeText(ms: bigint): string {
  demand(ms <= 8_640_000_000_000_000n, 'bad-payment: a block of a time that is no date');
  return new Date(Number(ms)).toISOString();
}

export class PaymentCheck {
  /** By commitment. */
  readonly works = new Map<Hex, PaidWork>();
  /** The blocks that the proof consists of, in the order in which they were asked for. */
  readonly used = new Set<Hex>();
  readonly #sums: Sums = { worker: 0n, verifiers: 0n, treasury: 0n, penalties: 0n, accepted: 0 };
  readonly #proven: ProvenPayment['works'] = [];
  #sets: TrustedSets | undefined;
  #escrow: { escrow: Escrow; shown: Shown } | undefined;

  constructor(
    readonly bundle: Bundle,
    readonly intent: Signed<TaskIntent>,
    readonly policy: Policy,
  ) {}

  /** Checks the proof with this root, piece by piece. */
  *run(root: Hex): Generator<void, void, void> {
    const proof = this.#read(PaymentProof, root, 'the proof of a payment');
    this.#begin();
    for (const hop of proof.hops) {
      this.#hop(hop);
      yield;
    }
    this.#takeEscrow(proof.escrow);
    for (const [i, links] of proof.works.entries()) {
      const before = proof.works[i - 1]?.commitment ?? '';
      demand(before < links.commitment, 'work-twice: the works are not in order, each once');
      this.#takeWork(links);
      yield;
    }
  }

  report(): ProvenPayment {
    const { escrow, shown } = this.#escrowShown();
    const { worker, verifiers, treasury, penalties, accepted } = this.#sums;
    demand(accepted <= escrow.paid, 'escrow-older: the works paid for more shards than the escrow says');
    const locked = escrow.fee * BigInt(escrow.shards);
    const gone = locked - escrow.held;
    const paid = worker + verifiers + treasury;
    demand(paid <= gone, 'wrong-payout: more was paid than left the escrow');
    const complete = accepted === escrow.paid;
    const { signers, validators } = shown.certified;
    return {
      locked,
      held: escrow.held,
      worker,
      verifiers,
      treasury,
      penalties,
      refunded: complete ? gone - paid : 0n,
      ended: escrow.ended,
      complete,
      shardsPaid: escrow.paid,
      block: {
        cid: cidText(shown.block),
        height: shown.header.height,
        time: timeText(shown.header.time_ms),
        signers,
        validators,
      },
      hops: this.#trusted().hops,
      works: this.#proven,
    };
  }

  #trusted(): TrustedSets {
    return this.#sets ?? refuse('bad-founding: nothing is known of it');
  }
  #escrowShown(): { escrow: Escrow; shown: Shown } {
    return this.#escrow ?? refuse('escrow-missing: nothing is known of it');
  }

  #bytes(cid: Hex): Uint8Array {
    const block = this.bundle.blocks.get(cid);
    demand(block !== undefined, 'payment-cut: a block of the proof is not in the bundle');
    this.used.add(cid);
    return block;
  }
  #read<T>(schema: Schema<T>, cid: Hex, what: string): T {
    return read(schema, this.#bytes(cid), `bad-payment: ${what}`);
  }

  #begin(): void {
    const { federation } = this.bundle.head;
    const charter = this.#read(Charter, federation, 'the charter');
    demand(charter.ledger !== undefined, 'bad-founding: the federation was founded without a ledger');
    const genesis = this.#read(Genesis, charter.ledger, 'the genesis');
    demand(
      charter.parents.length === 0 && charter.founders.join() === genesis.founders.map((one) => one.account).join(),
      'bad-founding: charter and genesis name different founders, or the federation came from others',
    );
    this.#sets = new TrustedSets(federation, foundingSet(genesis));
  }

  #hop(cid: Hex): void {
    const hop = this.#read(ValidatorHop, cid, 'a change of the validators');
    const header = this.#read(BlockHeader, hop.header, 'the header of a block');
    this.#trusted().hop(hop.next, hop.header, header, this.#bytes(hop.certificate), hop.summary);
  }

  /** An entry of the state after a certified block. */
  #entry(cid: Hex, table: TableName, key: Hex): Shown {
    const { header: block, certificate, proof } = this.#read(CertifiedEntry, cid, 'an entry of the ledger');
    const header = this.#read(BlockHeader, block, 'the header of a block');
    const certified = this.#trusted().certified(block, header, this.#bytes(certificate), proof.summary);
    return { block, header, certified, entry: checkEntry(header.state_root, table, key, proof) };
  }

  #takeEscrow(cid: Hex | undefined): void {
    demand(cid !== undefined, 'escrow-missing: the proof does not show the escrow');
    const shown = this.#entry(cid, 'escrows', digestOf(this.intent.cid));
    demand(shown.entry !== undefined, 'escrow-missing: nothing was locked for this task');
    const escrow = read(Escrow, shown.entry, 'bad-payment: the escrow');
    const { record, signer } = this.intent;
    demand(
      escrow.intent === this.intent.cid &&
        escrow.signer === signer &&
        escrow.fee === record.fee &&
        escrow.shards === record.shards &&
        escrow.verifiers === record.verifiers,
      'escrow-of-another: the escrow is not what the task offers',
    );
    const locked = escrow.fee * BigInt(escrow.shards);
    demand(
      locked < 1n << 64n && escrow.held <= locked && escrow.paid <= escrow.shards,
      'bad-payment: the escrow holds more than was locked',
    );
    this.#escrow = { escrow, shown };
  }

  #workAt(cid: Hex, commitment: Hex): { shown: Shown; work: Work } {
    const shown = this.#entry(cid, 'works', digestOf(commitment));
    demand(shown.entry !== undefined, "work-missing: a work is not in the ledger's state");
    const work = read(Work, shown.entry, 'bad-payment: a work');
    demand(
      work.intent === this.intent.cid && work.commitment === commitment,
      'work-of-another: a work is of another task',
    );
    checkWorkForm(work, this.intent.record.shards, this.intent.record.fee);
    return { shown, work };
  }

  #takeWork(links: WorkLinks): void {
    demand(links.now !== undefined, 'work-missing: the proof does not show a work that it names');
    const now = this.#workAt(links.now, links.commitment);
    if (now.work.phase === 'ended') this.#takeEnded(links, now);
    else this.#takeOpen(links, now);
  }

  #takeOpen(links: WorkLinks, { shown, work }: { shown: Shown; work: Work }): void {
    const { escrow, shown: escrowShown } = this.#escrowShown();
    demand(links.before === undefined, 'bad-payment: a work has not ended, and something is before it');
    demand(
      !escrow.ended && shown.block === escrowShown.block,
      'works-open: an open work is shown as it stood in another block than the escrow',
    );
    const sameOwner = this.#checkDrawings(links, work);
    const isRevealed = work.receipt !== undefined && work.phase !== 'drawing';
    const decisions = isRevealed ? settle(work, escrow, this.policy, shown.header.time_ms).decisions : [];
    this.#keep(work, work, decisions, sameOwner);
  }

  #takeEnded(links: WorkLinks, { shown, work }: { shown: Shown; work: Work }): void {
    const { escrow, shown: escrowShown } = this.#escrowShown();
    demand(
      shown.header.height <= escrowShown.header.height,
      'escrow-older: the escrow is shown as it stood before a work ended',
    );
    demand(links.before !== undefined, 'before-missing: a work ended, and what stood before is not shown');
    const earlier = this.#workAt(links.before, links.commitment);
    const { parents } = shown.header;
    demand(
      earlier.work.phase !== 'ended' && parents.length === 1 && parents[0] === earlier.shown.block,
      'not-adjacent: a work is not shown as it stood in the block before its end',
    );
    const sameOwner = this.#checkDrawings(links, earlier.work);
    const result = this.#settled(earlier.work, work, escrow, earlier.shown.header.time_ms);
    for (const [account, amount] of result.earned)
      this.#sums[account === work.worker ? 'worker' : 'verifiers'] += amount;
    this.#sums.treasury += result.treasury;
    this.#sums.accepted += work.accepted;
    for (const one of work.payouts) if (one.from_bond) this.#sums.penalties += one.amount;
    this.#keep(work, earlier.work, result.decisions, sameOwner);
  }

  /** What the rules make of a work as it stood, if that is what its entry at its end says. */
  #settled(before: Work, ended: Work, escrow: Escrow, timeMs: bigint): Settlement {
    const fields = ['award', 'worker', 'signer', 'root', 'cost', 'timeliness', 'anchored_height'] as const;
    demand(
      fields.every((name) => before[name] === ended[name]) &&
        shardsOf(before, escrow.shards).join() === shardsOf(ended, escrow.shards).join(),
      'wrong-settlement: a work ended as another than it was',
    );
    const result = this.#settlementOf(before, ended, escrow, timeMs);
    demand(
      result.accepted === ended.accepted && result.rejected === ended.rejected && result.undecided === ended.undecided,
      'wrong-settlement: a work ended with other decisions than what was revealed leads to',
    );
    // What comes after these went out of bonds.
    const earned = [...result.earned].filter(([, amount]) => amount !== 0n).sort(([a], [b]) => (a < b ? -1 : 1));
    const isPaid = earned.every(([account, amount], i) => {
      const payout = ended.payouts[i];
      return payout?.account === account && payout.amount === amount && !payout.from_bond;
    });
    demand(
      isPaid && ended.to_treasury >= result.treasury,
      'wrong-payout: a work paid something else than the rules have it',
    );
    return result;
  }

  #settlementOf(before: Work, ended: Work, escrow: Escrow, timeMs: bigint): Settlement {
    switch (ended.ending) {
      case 'settled':
        demand(
          before.receipt !== undefined && before.draws.length > 0 && before.receipt === ended.receipt,
          'wrong-settlement: a work was settled, and had not been revealed before',
        );
        return settle(before, escrow, this.policy, timeMs);
      case 'by_publisher':
        demand(
          (before.draws[0]?.seats ?? 0) === 0,
          'wrong-settlement: a work was accepted by its publisher, and verifiers had been drawn',
        );
        return settleUnverified(before, escrow, this.policy);
      case 'silent':
        return settleSilent(before, escrow);
      default:
        throw new Refused('wrong-settlement: a work ended, and it is not said how');
    }
  }

  /** Makes each drawing again. Answers whether a node of the worker's or the publisher's owner took part. */
  #checkDrawings(links: WorkLinks, work: Work): boolean {
    const bases = [links.drawn, links.drawn_again].filter((cid) => cid !== undefined);
    demand(
      bases.length === work.draws.length && (links.drawn !== undefined || bases.length === 0),
      'draw-missing: it is not shown from what a work was drawn for, or it was not drawn for so often',
    );
    const { escrow } = this.#escrowShown();
    let sameOwner = false;
    for (const [round, drawn] of work.draws.entries()) {
      const basis = this.#read(DrawBasis, bases[round] ?? '', 'what a drawing was made from');
      const header = this.#read(BlockHeader, basis.header, 'the header of a block');
      const list = concat(...basis.eligible.map((cid) => this.#bytes(cid)));
      const terms = {
        work,
        round,
        publisher: { node: escrow.publisher, owner: escrow.owner },
        shards: escrow.shards,
        verifiers: this.intent.record.verifiers,
        policy: this.policy,
      };
      sameOwner = checkDrawing(terms, drawn, basis, header, list) || sameOwner;
    }
    return sameOwner;
  }

  /** For the verdicts: what was decided of each shard of a work, and who had its seats. */
  #keep(work: Work, stood: Work, decisions: readonly Decision[], sameOwner: boolean): void {
    const numbers = shardsOf(work, this.intent.record.shards);
    const shards: PaidWork['shards'] = new Map();
    for (const [row, decision] of decisions.entries()) {
      const shard = numbers[row] ?? 0;
      const seats = stood.answers
        .filter((answer) => answer.revealed && covers(answer.shards, shard))
        .map((answer) => ({ node: answer.node, agreed: !answer.differing.includes(shard) }));
      shards.set(shard, { decision, seats });
    }
    const { intent, signer, award, root } = work;
    const record = { intent, node: signer, basis: award, worker: undefined, shards: work.shards, root };
    this.works.set(work.commitment, {
      commitment: { cid: work.commitment, signer, record },
      receipt: work.receipt,
      shards,
      sameOwner,
    });
    this.#proven.push({
      commitment: cidText(work.commitment),
      worker: peerId(work.worker),
      ended: work.phase === 'ended',
      accepted: work.accepted,
      rejected: work.rejected,
      undecided: work.undecided,
      drawings: stood.draws.length,
    });
  }
}
