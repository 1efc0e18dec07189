// What was committed to and what was revealed of it: findings, row by row, against the commitment's root.
import { encode } from 'cborg';
import { bigEndian, hex, merkleRoot, taggedHash, unhex, utf8, type Hex } from './bytes.js';
import type { Commitment, ExecutionReceipt, Findings, Outcome, TaskIntent, VerificationReceipt } from './records.js';
import { demand } from './refused.js';
import { covers, expand } from './shards.js';
import type { Field } from './task.js';
import type { Signed, Story } from './story.js';

export const MAX_COMMITTED = 1024;

/** What must be equal for two nodes to agree. */
export interface Finding {
  result: Hex;
  log: Hex;
  fuel: bigint;
  outcome: Outcome;
  /** Over all of it. */
  digest: Hex;
}

/** What a worker revealed, by shard, ascending. */
export interface Opened {
  worker: Hex;
  commitment: Hex;
  findings: Map<number, Finding>;
}

function checkOutcome(outcome: Outcome): void {
  const long = (text: string, most: number) => utf8(text).length > most;
  const bad =
    long(outcome.trap, 128) ||
    long(outcome.detail, 1024) ||
    outcome.backtrace.length > 64 ||
    outcome.backtrace.some((frame) => long(frame, 256));
  demand(!bad, 'an outcome is longer than outcomes may be');
}

/** Whether the indices use a whole list, in the order of their first use. */
function inOrderOfUse(indices: readonly number[], size: number): boolean {
  let next = 0;
  for (const index of indices) {
    if (index > next) return false;
    if (index === next) ++next;
  }
  return next === size;
}

/** The canonical bytes of an outcome, which enter the hash of a finding. */
function outcomeBytes(outcome: Outcome): Uint8Array {
  return encode({ ...outcome });
}

export function findingsOf(columns: Findings, count: number): Finding[] {
  const { results, fuel, logs, log, outcomes, outcome } = columns;
  const lengths = [results, fuel, log, outcome].map((column) => column.length);
  demand(
    lengths.every((length) => length === count),
    'there is not one finding for each shard',
  );
  demand(
    inOrderOfUse(log, logs.length) && inOrderOfUse(outcome, outcomes.length),
    'logs or outcomes are not listed in the order of their use',
  );
  outcomes.forEach(checkOutcome);
  const encoded = outcomes.map(outcomeBytes);
  demand(
    new Set(logs).size === logs.length && new Set(encoded.map(hex)).size === encoded.length,
    'a log or an outcome is listed twice',
  );
  return results.map((result, i) => {
    const row = { result, log: logs[log[i] ?? 0] ?? '', fuel: fuel[i] ?? 0n, at: outcome[i] ?? 0 };
    const bytes = encoded[row.at] ?? new Uint8Array();
    const hash = taggedHash('meshwork/1/finding', unhex(row.result), unhex(row.log), bigEndian(row.fuel), bytes);
    const [found] = outcomes.slice(row.at);
    demand(found !== undefined, 'a finding has no outcome');
    return { result, log: row.log, fuel: row.fuel, outcome: found, digest: hex(hash) };
  });
}

/** The shards of a commitment. */
export function committedShards(commitment: Signed<Commitment>, shards: number): number[] {
  demand(commitment.record.node === commitment.signer, "a commitment is in another node's name");
  const covered = expand(commitment.record.shards, shards, MAX_COMMITTED);
  demand(covered.length > 0, 'a commitment covers no shard');
  return covered;
}

function checkRoot(commitment: Commitment, key: Hex, rows: Iterable<readonly [number, Hex]>): void {
  const leaves = Array.from(rows, ([shard, digest]) => {
    const number = bigEndian(shard);
    const salt = taggedHash('meshwork/1/salt', unhex(key), number);
    return taggedHash(
      'meshwork/1/commitment',
      unhex(commitment.intent),
      number,
      unhex(commitment.node),
      unhex(digest),
      salt,
    );
  });
  demand(hex(merkleRoot(leaves)) === commitment.root, 'what is revealed is not what was committed to');
}

/** What a worker's receipt reveals of its commitment. */
export function openExecution(
  receipt: Signed<ExecutionReceipt>,
  commitment: Signed<Commitment>,
  intent: TaskIntent,
): Opened {
  const { record } = receipt;
  demand(
    record.commitment === commitment.cid && record.award === commitment.record.basis,
    'a receipt opens another commitment than the one it names',
  );
  demand(commitment.signer === receipt.signer, 'a receipt and its commitment are of two nodes');
  demand(commitment.record.worker === undefined, "a worker's receipt opens a verifier's commitment");
  const shards = committedShards(commitment, intent.shards);
  const { wall_ms, peak_memory_bytes, io_bytes } = record.usage;
  demand(
    [wall_ms, peak_memory_bytes, io_bytes].every((column) => column.length === shards.length),
    'a receipt does not say of every shard what its run used',
  );
  const rows = findingsOf(record.findings, shards.length);
  checkRoot(
    commitment.record,
    record.key,
    rows.map((row, i) => [shards[i] ?? 0, row.digest] as const),
  );
  const findings = new Map(rows.map((row, i) => [shards[i] ?? 0, row]));
  return { worker: receipt.signer, commitment: commitment.cid, findings };
}

/** What a verifier found, by shard of its commitment: the worker's finding, or its own. */
export function openVerification(
  receipt: VerificationReceipt,
  commitment: Signed<Commitment>,
  worker: Opened,
  shards: number,
): Map<number, Finding> {
  const mine = committedShards(commitment, shards);
  const differing = expand(receipt.differing, shards, MAX_COMMITTED);
  const others = findingsOf(receipt.findings, differing.length);
  const own = new Map(differing.map((shard, i) => [shard, others[i]]));
  const found = new Map<number, Finding>();
  for (const shard of mine) {
    const workers = worker.findings.get(shard);
    demand(workers !== undefined, "a verification covers a shard that the worker's receipt does not");
    const other = own.get(shard);
    demand(
      other === undefined || other.digest !== workers.digest,
      "a verification calls different what is the worker's",
    );
    own.delete(shard);
    found.set(shard, other ?? workers);
  }
  demand(own.size === 0, 'a verification differs on a shard that its commitment does not cover');
  checkRoot(
    commitment.record,
    receipt.key,
    mine.map((shard) => [shard, found.get(shard)?.digest ?? ''] as const),
  );
  return found;
}

/** Refuses unless the publisher awarded these shards to this worker, or ran them itself since nobody had offered. */
export function checkAward(story: Story, field: Field, award: Hex, worker: Hex, shards: readonly number[]): void {
  const { intent } = field;
  if (worker === intent.signer) {
    demand(
      field.offers.length === 0 && award === field.roster,
      'the publisher ran it itself although others had offered',
    );
    return;
  }
  const given = story.awards.get(award);
  demand(given !== undefined, 'an award is missing');
  const offer = field.offers.find((one) => one.cid === given.record.offer);
  demand(
    given.signer === intent.signer && given.record.roster === field.roster && offer?.signer === worker,
    "an award is not the publisher's to this worker",
  );
  demand(
    shards.every((shard) => covers(given.record.shards, shard)),
    'an award does not cover what was done under it',
  );
}
