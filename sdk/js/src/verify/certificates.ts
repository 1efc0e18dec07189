// Who may say that a block is final: sets of validators, from the one of the founding on, and the certificates by which more
// than two thirds of a set's power precommitted to a block.
import { encode } from 'cborg';
import { concat, hex, sha256, unhex, type Hex } from './bytes.js';
import { cidOf, DAG_CBOR, digestOf } from './cid.js';
import { StateSummary, type BlockHeader, type Genesis, type ValidatorSet } from './ledger_records.js';
import { demand } from './refused.js';
import { read } from './schema.js';
import { isIdentity, isSigned, signingPrefix } from './signatures.js';

const VERSION = 1;
const HEAD_BYTES = 47;
const SIGNER_BYTES = 96;
const MAX_SIGNERS = 256;
const MAX_HEIGHT = 1n << 60n;
const MAX_POWER = 1n << 60n;
const MAX_ROUND = 2 ** 30;
const MAX_FOUNDING_VALIDATORS = 64;
const PRECOMMIT_BLOCK = { kind: 2, choice: 1 };

interface Certificate {
  height: bigint;
  block: Hex;
  signers: Hex[];
}

/** A block that its validators certified. */
export interface Certified {
  summary: StateSummary;
  signers: number;
  validators: number;
}

function nameOf(set: ValidatorSet): Hex {
  const validators = set.validators.map((one) => ({ ...one, account: unhex(one.account), key: unhex(one.key) }));
  return cidOf(DAG_CBOR, encode({ type: 'validator-set', v: 1, from_height: set.from_height, validators }));
}

function totalPower(set: ValidatorSet): bigint {
  return set.validators.reduce((sum, one) => sum + one.power, 0n);
}

function checkCertificate(bytes: Uint8Array, set: ValidatorSet, federation: Hex): Certificate {
  demand(bytes.length >= HEAD_BYTES && bytes[0] === VERSION, 'certificate: it is none of version 1');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [height, round, count] = [view.getBigUint64(1), view.getUint32(9), view.getUint16(45)];
  demand(height >= 1n && height <= MAX_HEIGHT && round <= MAX_ROUND, 'certificate: no height or round');
  demand(
    count >= 1 && count <= MAX_SIGNERS && bytes.length === HEAD_BYTES + count * SIGNER_BYTES,
    'certificate: it does not have the length of its signers',
  );
  const body = concat(
    Uint8Array.of(PRECOMMIT_BLOCK.kind),
    bytes.subarray(1, 13),
    Uint8Array.of(PRECOMMIT_BLOCK.choice),
    bytes.subarray(13, 45),
  );
  const message = concat(signingPrefix('vote', federation), body);
  const powers = new Map(set.validators.map((one) => [one.key, one.power]));
  demand(powers.size === set.validators.length, 'certificate: a key is twice in a set of validators');
  const signers: Hex[] = [];
  let power = 0n;
  for (let i = 0; i < count; ++i) {
    const signer = bytes.subarray(HEAD_BYTES + i * SIGNER_BYTES).subarray(0, SIGNER_BYTES);
    const key = hex(signer.subarray(0, 32));
    demand(i === 0 || (signers[i - 1] ?? '') < key, 'certificate: its signers are not in order, each once');
    const own = powers.get(key);
    demand(own !== undefined, 'certificate: a signer is no validator');
    demand(isSigned(key, message, hex(signer.subarray(32))), 'certificate: a signature does not hold');
    power += own;
    signers.push(key);
  }
  demand(power * 3n > totalPower(set) * 2n, 'certificate: not more than two thirds of the power signed it');
  return { height, block: hex(bytes.subarray(13, 45)), signers };
}

/** Whether the same decide by the same power from the same height on, whatever they have at stake. */
function decideAlike(a: ValidatorSet, b: ValidatorSet): boolean {
  return (
    a.from_height === b.from_height &&
    a.validators.length === b.validators.length &&
    a.validators.every((one, i) => {
      const other = b.validators[i];
      return one.account === other?.account && one.key === other.key && one.power === other.power;
    })
  );
}

/** The validators with which a federation begins. */
export function foundingSet(genesis: Genesis): ValidatorSet {
  const { founders, parameters } = genesis;
  demand(
    founders.length > 0 && founders.every((one, i) => i === 0 || (founders[i - 1]?.account ?? '') < one.account),
    'bad-founding: the founders are not in order, each once',
  );
  demand(
    founders.some(({ roles }) => roles.includes('steward')),
    'bad-founding: nobody is a steward',
  );
  const voting = founders.filter((one) => one.power > 0n);
  demand(
    voting.every((one) => one.roles.includes('validator') && one.bonded >= parameters.minimum_bond),
    'bad-founding: a validator has not the role or the bond',
  );
  demand(
    founders.every((one) => isIdentity(one.account)),
    'bad-founding: a founder has a key that can stand for nobody',
  );
  demand(
    voting.length > 0 && voting.length <= MAX_FOUNDING_VALIDATORS,
    `bad-founding: there are not 1 to ${MAX_FOUNDING_VALIDATORS} validators`,
  );
  const validators = voting.map(({ account, power }) => ({
    account,
    key: account,
    power,
    stake: parameters.minimum_bond,
  }));
  const set = { from_height: 1n, validators };
  demand(totalPower(set) <= MAX_POWER, 'bad-founding: all power together is above 2^60');
  return set;
}

export class TrustedSets {
  readonly #sets = new Map<Hex, ValidatorSet>();
  #last: Hex;
  #hops = 0;

  constructor(
    readonly federation: Hex,
    founding: ValidatorSet,
  ) {
    this.#last = this.#trust(founding);
  }

  get hops(): number {
    return this.#hops;
  }

  /** A block's header, by its name, with its certificate and the summary of the state after it. */
  certified(block: Hex, header: BlockHeader, certificate: Uint8Array, state: Uint8Array): Certified {
    demand(
      hex(sha256(state)) === header.state_root,
      'wrong-state-root: the state that is shown is not that of the block',
    );
    const summary = read(StateSummary, state, 'bad-summary');
    demand(summary.federation === this.federation, 'another-federation: a block is of another federation');
    demand(summary.height === header.height, 'wrong-state-root: a state is of another height than its block');
    const set = this.#sets.get(summary.validators);
    demand(
      set !== undefined,
      'validators-changed: a block was decided by other validators than those that the proof leads to',
    );
    const said = checkCertificate(certificate, set, this.federation);
    demand(
      said.height === header.height && said.block === digestOf(block),
      'wrong-certificate: a certificate is of another block',
    );
    return { summary, signers: said.signers.length, validators: set.validators.length };
  }

  /** The next change of the validators: others take over, or one in office lost its stake. */
  hop(next: ValidatorSet, block: Hex, header: BlockHeader, certificate: Uint8Array, state: Uint8Array): void {
    const name = nameOf(next);
    const inOffice = this.#sets.get(this.#last);
    const hasOtherStakes = name !== this.#last && inOffice !== undefined && decideAlike(next, inOffice);
    if (hasOtherStakes) this.#last = this.#trust(next);
    const { summary } = this.certified(block, header, certificate, state);
    ++this.#hops;
    if (hasOtherStakes && summary.validators === name) return;
    demand(
      summary.validators === this.#last && next.from_height === header.height + 1n && summary.scheduled.includes(name),
      'validators-changed: a block does not say that these validators take over after it',
    );
    this.#last = this.#trust(next);
  }

  #trust(set: ValidatorSet): Hex {
    const name = nameOf(set);
    this.#sets.set(name, set);
    return name;
  }
}
