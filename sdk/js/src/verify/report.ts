// What the check of a bundle says.

export interface Statement {
  what: string;
  holds: boolean | 'not-checked';
  /** What does not hold, or why it was not checked; empty where there is nothing to say. Never markup. */
  why: string;
}

export interface ProvenShard {
  shard: number;
  decision: 'accepted' | 'rejected' | 'disputed' | 'undetermined' | 'unverified' | 'spot_checked';
  /** PeerIds, as everywhere below. */
  worker: string;
  verifiers: { peer: string; agreed: boolean }[];
  /** CIDs. */
  result: string;
  log: string;
  fuel: bigint;
  outcome: { kind: string; exitCode: number };
  /** A verifier is of the worker's or the publisher's owner. */
  sameOwner: boolean;
  /** The publisher ran it itself. */
  selfExecuted: boolean;
  rejectedAttempts: number;
}

export interface ProvenJob {
  id: string;
  /** The CID of the federation's charter. */
  federation: string;
  publisher: string;
  /** Written by the publisher: it may hold anything. */
  label: string;
  function: string;
  inputs: string;
  shards: number;
  /** Shards that no verdict of the bundle is on. */
  missing: number;
  fee: bigint;
  verifiers: number;
}

export interface ProvenPayment {
  /** Micro-credits. */
  locked: bigint;
  held: bigint;
  worker: bigint;
  verifiers: bigint;
  treasury: bigint;
  refunded: bigint;
  penalties: bigint;
  ended: boolean;
  /** All paid shards are of works that the bundle shows, so that what came back is known. */
  complete: boolean;
  shardsPaid: number;
  /** The block whose state shows the escrow. */
  block: { cid: string; height: bigint; time: string; signers: number; validators: number };
  /** Changes of the validators since the founding. */
  hops: number;
  works: {
    commitment: string;
    worker: string;
    ended: boolean;
    accepted: number;
    rejected: number;
    undecided: number;
    drawings: number;
  }[];
}

export interface Report {
  /** Whether everything that was checked holds. What was not checked is said in the statements. */
  holds: boolean;
  roots: string[];
  statements: Statement[];
  job?: ProvenJob;
  shards: ProvenShard[];
  /** Of a task with a fee. */
  payment?: ProvenPayment;
  /** Results and logs that are in the file, by CID; each has the hash that names it. */
  contents: Map<string, Uint8Array>;
}
