// An independent check of proof bundles, for browsers and Node: it needs no network and trusts nobody who handed the file
// over. Written from the protocol's description, so that it does not repeat the mistakes of the node's own check.
//
// Bounds: 64 MiB a bundle, 2 MiB a block, 16 levels of a record. Hostile bytes make a report that does not hold, never an
// exception; thrown is the reason of the caller's signal alone.
import type { Hex } from './bytes.js';
import { checkLayout, readBundle, type Bundle } from './bundle.js';
import { cidText, codecOf, peerId, RAW } from './cid.js';
import { PaymentCheck } from './payment.js';
import { Policy } from './records.js';
import { Refused, demand } from './refused.js';
import type { ProvenJob, ProvenShard, Report, Statement } from './report.js';
import { Rounds } from './rounds.js';
import { read } from './schema.js';
import { Story, type Signed } from './story.js';
import { checkIntent, checkPolicy, fieldOf } from './task.js';
import type { TaskIntent } from './records.js';
import { Verdicts, type PaidWork, type ShardProof } from './verdicts.js';

export { MAX_BUNDLE_BYTES } from './car.js';
export type { ProvenJob, ProvenPayment, ProvenShard, Report, Statement } from './report.js';

export interface VerifyOptions {
  signal?: AbortSignal;
}

const STEPS = {
  container: 'Each block of the file has the hash that names it, and the root is a proof bundle.',
  records: 'Each record is in its one canonical form, of this task, and signed by its key in this federation.',
  task: 'The task asks for what its policy allows.',
  layout: 'The file holds what it names, once, in order, and nothing else.',
  bidding: 'The publisher fixed who was in before any work was awarded.',
  payment: "The federation's validators certified who was drawn, what was decided and what was paid.",
  work: 'Each worker revealed what it had committed to, under an award of the publisher.',
  draws: 'Each draw comes from nonces that were fixed with the bids, and names these verifiers.',
  verdicts: 'Each verdict is what the verifications of all seats come to.',
  contents: 'The results and logs in the file are those that receipts name.',
} as const;
type Step = keyof typeof STEPS;

const UNKNOWABLE: readonly Statement[] = [
  {
    what: 'The federation is the one that you mean.',
    holds: 'not-checked',
    why: "a bundle names its federation by its charter's CID: compare that",
  },
  {
    what: 'No quorum of verifiers lied together, and members whose nonce a draw lacks did withhold it.',
    holds: 'not-checked',
    why: 'no proof can show it; the protocol says what it costs to bring about',
  },
];

/** So that a browser stays responsive: gives way to other work when this has run for so long. */
const TURN_MS = 30;

class Run {
  readonly statements: Statement[] = [];
  #failed = false;
  #turn = Date.now();

  constructor(readonly signal: AbortSignal | undefined) {}

  get failed(): boolean {
    return this.#failed;
  }

  async step<T>(name: Step, work: () => T | Promise<T>): Promise<T | undefined> {
    if (this.#failed) {
      this.skip(name, 'something that it rests on does not hold');
      return undefined;
    }
    try {
      const value = await work();
      this.statements.push({ what: STEPS[name], holds: true, why: '' });
      return value;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#failed = true;
      this.statements.push({ what: STEPS[name], holds: false, why: error.message });
      return undefined;
    }
  }

  skip(name: Step, why: string): void {
    this.statements.push({ what: STEPS[name], holds: 'not-checked', why });
  }

  /** Calls `each` for all items, between other work. */
  async forEach<T>(items: Iterable<T>, each: (item: T) => void): Promise<void> {
    for (const item of items) {
      each(item);
      if (Date.now() - this.#turn < TURN_MS) continue;
      await new Promise((resolve) => setTimeout(resolve));
      this.signal?.throwIfAborted();
      this.#turn = Date.now();
    }
  }
}

/** What the bundle proves, statement by statement. */
export async function verifyBundle(bytes: Uint8Array, options: VerifyOptions = {}): Promise<Report> {
  options.signal?.throwIfAborted();
  const run = new Run(options.signal);
  const report: Report = { holds: false, roots: [], statements: run.statements, shards: [], contents: new Map() };
  await checkAll(run, bytes, report);
  report.holds = !run.failed;
  run.statements.push(...UNKNOWABLE);
  return report;
}

async function checkAll(run: Run, bytes: Uint8Array, report: Report): Promise<void> {
  const bundle = await run.step('container', () => readBundle(bytes));
  if (bundle === undefined) return skipRest(run, 'records');
  report.roots = [cidText(bundle.root)];
  const story = new Story(bundle.head.federation, bundle.head.intent);
  await run.step('records', () => run.forEach(bundle.envelopes, (cid) => story.take(bundle.block(cid))));
  const task = await run.step('task', () => checkTask(bundle, story));
  if (task === undefined) return skipRest(run, 'layout');
  const { intent, policy } = task;
  report.job = jobOf(bundle, intent);
  const payment = await checkPayment(run, bundle, intent, policy, report);
  await run.step('layout', () => checkLayout(bundle, intent.record.policy, payment?.used ?? []));
  const field = await run.step('bidding', () =>
    story.verdicts.length === 0 ? { intent, roster: '', offers: [] } : fieldOf(story, intent),
  );
  if (field === undefined) return skipRest(run, 'work');
  const rounds = await run.step('draws', () => new Rounds(story, field));
  if (rounds === undefined) return skipRest(run, 'work');
  const verdicts = new Verdicts(story, field, policy, rounds, payment?.works);
  const works = await run.step('work', async () => {
    const judged: ReturnType<Verdicts['checkWork']>[] = [];
    await run.forEach(story.verdicts, (verdict) => judged.push(verdicts.checkWork(verdict)));
    return judged;
  });
  await run.step('verdicts', async () => {
    await run.forEach(works ?? [], (judged) => verdicts.checkDecision(judged));
    verdicts.finish();
  });
  await run.step('contents', () => takeContents(bundle, verdicts.proofs, report));
  if (run.failed) return;
  report.shards = [...verdicts.proofs.values()].sort((a, b) => a.shard - b.shard).map(shardOf);
  report.job.missing = intent.record.shards - report.shards.length;
}

function skipRest(run: Run, from: Step): void {
  const names = Object.keys(STEPS) as Step[];
  for (const name of names.slice(names.indexOf(from))) run.skip(name, 'something that it rests on does not hold');
}

function checkTask(bundle: Bundle, story: Story): { intent: Signed<TaskIntent>; policy: Policy } {
  const { intent } = story;
  demand(intent !== undefined && intent.cid === bundle.head.intent, "the bundle's intent is missing or another");
  const policy = read(Policy, bundle.block(intent.record.policy), 'the policy');
  checkPolicy(policy);
  checkIntent(intent.record, policy);
  return { intent, policy };
}

async function checkPayment(
  run: Run,
  bundle: Bundle,
  intent: Signed<TaskIntent>,
  policy: Policy,
  report: Report,
): Promise<{ works: Map<Hex, PaidWork>; used: Hex[] } | undefined> {
  const { payment } = bundle.head;
  if (intent.record.fee === 0n && payment === undefined) {
    run.skip('payment', 'the task offers no fee: nothing was paid');
    return undefined;
  }
  return run.step('payment', async () => {
    demand(intent.record.fee !== 0n, 'payment-of-free-task: the task offers no fee, and a payment is shown');
    demand(payment !== undefined, 'payment-missing: the task offers a fee, and nothing of its ledger is shown');
    const check = new PaymentCheck(bundle, intent, policy);
    await run.forEach(check.run(payment), () => undefined);
    report.payment = check.report();
    return { works: check.works, used: [...check.used] };
  });
}

function takeContents(bundle: Bundle, proofs: ReadonlyMap<number, ShardProof>, report: Report): void {
  const named = new Set([...proofs.values()].flatMap(({ finding }) => [finding.result, finding.log]));
  for (const cid of bundle.contents) {
    demand(named.has(cid), 'the file carries a content that no receipt names');
    demand(codecOf(cid) === RAW, 'the file carries a part of a content');
    report.contents.set(cidText(cid), bundle.block(cid));
  }
}

function jobOf(bundle: Bundle, intent: Signed<TaskIntent>): ProvenJob {
  const { record } = intent;
  return {
    id: cidText(intent.cid),
    federation: cidText(bundle.head.federation),
    publisher: peerId(intent.signer),
    label: record.label,
    function: cidText(record.function),
    inputs: cidText(record.inputs),
    shards: record.shards,
    missing: record.shards,
    fee: record.fee,
    verifiers: record.verifiers,
  };
}

function shardOf(proof: ShardProof): ProvenShard {
  const { finding } = proof;
  return {
    shard: proof.shard,
    decision: proof.decision,
    worker: peerId(proof.worker),
    verifiers: proof.seats.map(({ node, agreed }) => ({ peer: peerId(node), agreed })),
    result: cidText(finding.result),
    log: cidText(finding.log),
    fuel: finding.fuel,
    outcome: { kind: finding.outcome.kind, exitCode: finding.outcome.exit_code },
    sameOwner: proof.sameOwner,
    selfExecuted: proof.selfExecuted,
    rejectedAttempts: proof.rejectedAttempts,
  };
}
