// The records of a task's story, by their wire names (docs/design/protocols.md).
import {
  bool,
  bytes,
  cid,
  digest,
  fixed,
  i64,
  key,
  list,
  oneOf,
  optional,
  record,
  struct,
  text,
  u32,
  u64,
  type Typed,
} from './schema.js';

export const Envelope = struct({ body: bytes, key, sig: fixed(64) });
export const ProofBundle = record('proof-bundle', 2, {
  federation: cid,
  intent: cid,
  lists: list(cid),
  payment: optional(cid),
});
export const ProofList = record('proof-list', 1, { envelopes: list(cid), contents: list(cid) });

export const Policy = record('mesh-policy', 1, {
  reputation: struct({ alpha: u32, beta: u32, gamma: u32, lambda: u32 }),
  reward_settings: struct({ worker_percentage: u32, verifier_percentage: u32, platform_fee_percentage: u32 }),
  scheduling: struct({ max_queued_shards: u32, max_shards_per_task: u32, bid_window_ms: u32, max_bid_window_ms: u32 }),
  verification_quorum: struct({
    required_percentage: u32,
    minimum_verifiers: u32,
    maximum_verifiers: u32,
    value_per_verifier: u64,
  }),
  free_quota: struct({ fuel_per_hour: u64, served_percentage: u32 }),
});
export type Policy = Typed<typeof Policy>;

export const TaskIntent = record('task-intent', 2, {
  function: cid,
  inputs: cid,
  shards: u32,
  reduce: optional(cid),
  reduces: optional(cid),
  scope: struct({ memory_mb: u64, fuel: u64, gpu_flops: u64, io_mb: u64 }),
  fee: u64,
  verifiers: u32,
  value: u64,
  sample: u32,
  bid_window_ms: u32,
  limits: struct({ fetch_ms: u32, run_ms: u32, nonce_ms: u32, reveal_ms: u32, total_ms: u32 }),
  policy: cid,
  engine: text,
  nonce_tip: digest,
  owner: text,
  label: text,
  created_ms: i64,
});
export type TaskIntent = Typed<typeof TaskIntent>;

export const Range = struct({ first: u32, count: u32 });
export type Range = Typed<typeof Range>;

export const ComputeOffer = record('compute-offer', 1, {
  intent: cid,
  cost: u64,
  capacity: u32,
  eta_ms: u64,
  valid_ms: u32,
  nonce_tip: digest,
  holds_inputs: bool,
  owner: text,
});
export type ComputeOffer = Typed<typeof ComputeOffer>;
export const Roster = record('roster', 1, { intent: cid, offers: list(cid) });
export type Roster = Typed<typeof Roster>;
export const Award = record('award', 1, {
  intent: cid,
  roster: cid,
  offer: cid,
  lease: u32,
  shards: list(Range),
  given_ms: optional(u64),
});
export type Award = Typed<typeof Award>;

export const Commitment = record('commitment', 2, {
  intent: cid,
  node: key,
  basis: cid,
  worker: optional(cid),
  shards: list(Range),
  root: digest,
});
export type Commitment = Typed<typeof Commitment>;

export const RoundOpen = record('round-open', 2, {
  intent: cid,
  roster: cid,
  round: u32,
  commitments: list(cid),
  seats: list(u32),
  barred: list(key),
});
export type RoundOpen = Typed<typeof RoundOpen>;
export const NonceReveal = record('nonce-reveal', 1, { intent: cid, open: cid, round: u32, link: digest });
export type NonceReveal = Typed<typeof NonceReveal>;
export const Draw = record('draw', 1, { intent: cid, open: cid, round: u32, link: digest, reveals: list(cid) });
export type Draw = Typed<typeof Draw>;
export const Substitution = record('substitution', 2, {
  intent: cid,
  draw: cid,
  commitment: cid,
  failed: key,
  shards: list(Range),
  reason: text,
});
export type Substitution = Typed<typeof Substitution>;
export const Extension = record('extension', 2, {
  intent: cid,
  draw: cid,
  commitment: cid,
  shards: list(Range),
  seats: u32,
});
export type Extension = Typed<typeof Extension>;

export const Outcome = struct({
  kind: oneOf('exited', 'trapped', 'out-of-fuel', 'out-of-memory', 'stack-exhausted', 'output-too-large', 'refused'),
  exit_code: u32,
  trap: text,
  backtrace: list(text),
  detail: text,
});
export type Outcome = Typed<typeof Outcome>;
export const Findings = struct({
  results: list(cid),
  fuel: list(u64),
  logs: list(cid),
  log: list(u32),
  outcomes: list(Outcome),
  outcome: list(u32),
});
export type Findings = Typed<typeof Findings>;
export const ExecutionReceipt = record('execution-receipt', 2, {
  intent: cid,
  award: cid,
  commitment: cid,
  key: digest,
  findings: Findings,
  usage: struct({ wall_ms: list(u64), peak_memory_bytes: list(u64), io_bytes: list(u64) }),
});
export type ExecutionReceipt = Typed<typeof ExecutionReceipt>;
export const VerificationReceipt = record('verification-receipt', 2, {
  intent: cid,
  receipt: cid,
  commitment: cid,
  key: digest,
  differing: list(Range),
  findings: Findings,
});
export type VerificationReceipt = Typed<typeof VerificationReceipt>;

export const Decision = oneOf('accepted', 'rejected', 'disputed', 'undetermined', 'unverified', 'spot_checked');
export type Decision = Typed<typeof Decision>;
export const Verdict = record('verdict', 2, {
  intent: cid,
  shards: list(Range),
  decision: Decision,
  receipt: cid,
  draw: optional(cid),
  verifications: list(cid),
  timeliness: u32,
  contribution: u32,
});
export type Verdict = Typed<typeof Verdict>;
