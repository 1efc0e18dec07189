// What a ledger's blocks and state consist of, as far as a proof of payment shows it.
import { Range } from './records.js';
import {
  anything,
  bool,
  bytes,
  cid,
  digest,
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

const MAX_WORKS = 2 ** 13;
const MAX_HOPS = 2 ** 12;
const MAX_PATH = 256;

const Role = oneOf('member', 'worker', 'verifier', 'validator', 'steward');
const Parameters = struct({
  minimum_bond: u64,
  lock_ms: u64,
  answer_ms: u64,
  dispute_ms: u64,
  notice_ms: u64,
  skip_penalty: u64,
  max_time_ahead_ms: u64,
  transaction_fee: u64,
  minimum_balance: u64,
  enrolment: oneOf('invitation', 'open'),
});

export const Charter = record('charter', 1, {
  name: text,
  parents: list(cid),
  founders: list(key),
  policy: cid,
  ledger: optional(cid),
});
export const Genesis = record('genesis', 1, {
  time_ms: u64,
  founders: list(
    struct({
      account: key,
      credits: u64,
      bonded: u64,
      weight: u64,
      power: u64,
      roles: list(Role),
      owner: optional(text),
    }),
    1024,
  ),
  parameters: Parameters,
  treasury: u64,
});
export type Genesis = Typed<typeof Genesis>;

export const BlockHeader = record('block', 1, {
  height: u64,
  parents: list(cid),
  time_ms: u64,
  proposer: key,
  transactions: cid,
  state_root: digest,
  beacon: digest,
});
export type BlockHeader = Typed<typeof BlockHeader>;

export const ValidatorSet = record('validator-set', 1, {
  from_height: u64,
  validators: list(struct({ account: key, key, power: u64, stake: u64 }), 256),
});
export type ValidatorSet = Typed<typeof ValidatorSet>;

const Roots = struct({
  accounts: digest,
  members: digest,
  attestations: digest,
  conflicts: digest,
  voters: digest,
  offences: digest,
  escrows: digest,
  works: digest,
  stakes: digest,
  chains: digest,
  reputation: digest,
  'reputation-pairs': digest,
});
export const StateSummary = record('ledger-state', 1, {
  federation: cid,
  height: u64,
  time_ms: u64,
  roots: Roots,
  totals: struct({
    supply: u64,
    granted: u64,
    balances: u64,
    bonded: u64,
    unbonding: u64,
    escrowed: u64,
    treasury: u64,
  }),
  parameters: Parameters,
  beacon: digest,
  validators: cid,
  scheduled: list(cid),
});
export type StateSummary = Typed<typeof StateSummary>;
export type TableName = keyof Typed<typeof Roots>;

const EntryProof = record('entry-proof', 1, {
  summary: bytes,
  table: text,
  entry: optional(bytes),
  proof: record('map-proof', 1, {
    beside: list(digest, MAX_PATH),
    end: optional(struct({ place: digest, value: digest })),
  }),
});
export type EntryProof = Typed<typeof EntryProof>;

export const CertifiedEntry = record('certified-entry', 1, { header: cid, certificate: cid, proof: EntryProof });
export const DrawBasis = record('draw-basis', 1, { header: cid, worker: EntryProof, eligible: list(cid) });
export const ValidatorHop = record('validator-hop', 1, {
  header: cid,
  certificate: cid,
  summary: bytes,
  next: ValidatorSet,
});
const WorkLinks = struct({
  commitment: cid,
  now: optional(cid),
  before: optional(cid),
  drawn: optional(cid),
  drawn_again: optional(cid),
});
export type WorkLinks = Typed<typeof WorkLinks>;
export const PaymentProof = record('payment-proof', 1, {
  hops: list(cid, MAX_HOPS),
  escrow: optional(cid),
  works: list(WorkLinks, MAX_WORKS),
});

export const Member = struct({
  node: key,
  roles: list(Role),
  issuer: key,
  owner: optional(text),
  expires_height: optional(u64),
  revoked: bool,
  weight: u64,
});

export const Escrow = struct({
  intent: cid,
  publisher: key,
  signer: key,
  owner: text,
  shards: u32,
  fee: u64,
  held: u64,
  verifiers: u32,
  value: u64,
  fuel: u64,
  memory_mb: u64,
  run_ms: u64,
  paid: u32,
  works: u32,
  claimed: bytes,
  spent: anything,
  closes_ms: u64,
  forget_ms: u64,
  closed: bool,
  ended: bool,
});
export type Escrow = Typed<typeof Escrow>;

const WorkDraw = struct({
  height: u64,
  block: cid,
  time_ms: u64,
  beacon: digest,
  eligible: digest,
  seats: u32,
  width: u32,
  nodes: list(key),
  weights: list(u64),
  order: bytes,
});
export type WorkDraw = Typed<typeof WorkDraw>;
const Answer = struct({
  node: key,
  signer: key,
  commitment: cid,
  round: u32,
  shards: list(Range),
  root: digest,
  revealed: bool,
  differing: list(u32),
  found: bytes,
  exhausted: bytes,
});
export type Answer = Typed<typeof Answer>;
export const Work = struct({
  commitment: cid,
  intent: cid,
  award: cid,
  worker: key,
  signer: key,
  shards: list(Range),
  root: digest,
  cost: u64,
  timeliness: u32,
  anchored_height: u64,
  phase: oneOf('drawing', 'drawn', 'revealed', 'disputed', 'ended'),
  due_ms: u64,
  draws: list(WorkDraw, 2),
  answers: list(Answer),
  passed_over: list(struct({ node: key, round: u32, until_ms: u64 })),
  receipt: optional(cid),
  findings: bytes,
  exhausted: bytes,
  disputed_by: optional(key),
  dispute_stake: u64,
  ending: optional(oneOf('settled', 'silent', 'by_publisher')),
  accepted: u32,
  rejected: u32,
  undecided: u32,
  payouts: list(struct({ account: key, amount: u64, from_bond: bool })),
  to_treasury: u64,
});
export type Work = Typed<typeof Work>;
