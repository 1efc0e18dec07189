// Sortition without a ledger, made again: the seed of a round from links of hash chains whose ends were fixed with the bids,
// and from the seed who verifies which shard.
import { bigEndian, concat, hex, leadingNumber, sha256, taggedHash, unhex, type Hex } from './bytes.js';
import { didOf } from './cid.js';
import type { Draw, RoundOpen } from './records.js';
import { demand } from './refused.js';
import type { Signed, Story } from './story.js';
import { EVERYTHING, type Field } from './task.js';

const MAX_ROUND_COMMITMENTS = 256;
const UNIFORM_WEIGHT = 500n;

/** Whoever can be drawn. */
export interface Member {
  node: Hex;
  /** A did; empty for the node itself. */
  owner: string;
  weight: bigint;
}

export interface SeatOrder {
  nodes: Hex[];
  /** From here on: nodes of the worker's or the publisher's owner. */
  sameOwnerFrom: number;
}

export interface Round {
  open: Signed<RoundOpen>;
  draw: Signed<Draw>;
  seed: Uint8Array;
  members: Member[];
}

/** The most rounds that a task of so many shards has. */
function maxRounds(shards: number): number {
  return Math.min(4096, 16 + 4 * shards);
}

/** One node's chain of hashes: round r reveals the link from which r hashes lead to the tip. */
class Chain {
  readonly #links: Hex[];
  constructor(tip: Hex) {
    this.#links = [tip];
  }
  has(link: Hex, round: number): boolean {
    if (round < 1) return false;
    if (round < this.#links.length) return this.#links[round] === link;
    const above = [link];
    while (above.length <= round - this.#links.length) above.push(hex(sha256(unhex(above.at(-1) ?? ''))));
    const reached = hex(sha256(unhex(above.at(-1) ?? '')));
    if (reached !== this.#links.at(-1)) return false;
    this.#links.push(...above.reverse());
    return true;
  }
}

export type Party = Pick<Member, 'node' | 'owner'>;

export function sameOwner(a: Party, b: Party): boolean {
  if (a.owner === '' && b.owner === '') return a.node === b.node;
  return (a.owner || didOf(a.node)) === (b.owner || didOf(b.node));
}

/** A weighted order without replacement, by integers alone, put behind what `order` has, up to `width` in all. */
export function drawOrder(seed: Uint8Array, members: readonly Member[], order: Hex[], width = Infinity): void {
  const pool = [...members].sort((a, b) => (a.node < b.node ? -1 : 1));
  let total = pool.reduce((sum, member) => sum + member.weight, 0n);
  while (pool.length > 0 && order.length < width) {
    const random = leadingNumber(taggedHash('meshwork/1/seat', seed, bigEndian(order.length)));
    const at = total === 0n ? Number((random * BigInt(pool.length)) >> 64n) : placeOf((random * total) >> 64n, pool);
    for (const { node, weight } of pool.splice(at, 1)) {
      order.push(node);
      total -= weight;
    }
  }
}

/** Into whose stretch of the summed weights a number falls. */
function placeOf(number: bigint, pool: readonly Member[]): number {
  let left = number;
  return pool.findIndex(({ weight }) => {
    if (left < weight) return true;
    left -= weight;
    return false;
  });
}

/** Who can be drawn besides the parties: those of other owners, then those of a party's. */
export function poolsOf(members: readonly Member[], parties: readonly Party[]): [Member[], Member[]] {
  const free = members.filter(({ node }) => parties.every((party) => party.node !== node));
  const isTheirs = (member: Member) => parties.some((party) => sameOwner(member, party));
  return [free.filter((member) => !isTheirs(member)), free.filter(isTheirs)];
}

/** Who verifies a shard of a worker's commitment: the first have the seats, the others take their places. */
export function seatOrder(
  seed: Uint8Array,
  commitment: Hex,
  shard: number,
  members: readonly Member[],
  parties: readonly Party[],
): SeatOrder {
  const [others, theirs] = poolsOf(members, parties);
  const shardSeed = taggedHash('meshwork/1/shard-seed', seed, unhex(commitment), bigEndian(shard));
  const nodes: Hex[] = [];
  drawOrder(shardSeed, others, nodes);
  const sameOwnerFrom = nodes.length;
  drawOrder(shardSeed, theirs, nodes);
  return { nodes, sameOwnerFrom };
}

/** Whether a shard is one of those that are re-executed, where only a share of them is. */
export function isSampled(seed: Uint8Array, commitment: Hex, shard: number, perMille: number): boolean {
  if (perMille >= EVERYTHING) return true;
  const thousandth = ((1n << 64n) - 1n) / BigInt(EVERYTHING) + 1n;
  const lot = leadingNumber(taggedHash('meshwork/1/sample', seed, unhex(commitment), bigEndian(shard)));
  return lot / thousandth < BigInt(perMille);
}

export class Rounds {
  readonly #known = new Map<Hex, Round>();
  readonly #chains = new Map<Hex, Chain>();

  constructor(
    readonly story: Story,
    readonly field: Field,
  ) {
    this.#demandOneOfEach();
  }

  /** The round of a draw, all of it checked. */
  of(drawCid: Hex): Round {
    const known = this.#known.get(drawCid);
    if (known !== undefined) return known;
    const draw = this.story.draws.get(drawCid);
    demand(draw !== undefined, 'a draw is missing');
    const open = this.story.opens.get(draw.record.open);
    demand(open !== undefined, "a round's opening is missing");
    this.#checkOpen(open, draw);
    const round = this.#make(open, draw);
    this.#known.set(drawCid, round);
    return round;
  }

  /** Who opens or draws a round twice could have chosen. */
  #demandOneOfEach(): void {
    const opened = [...this.story.opens.values()].map((open) => open.record.round);
    const drawn = [...this.story.draws.values()].map((draw) => draw.record.open);
    demand(new Set(opened).size === opened.length, 'a round was opened twice: the publisher could have chosen');
    demand(new Set(drawn).size === drawn.length, 'a round was drawn twice: the publisher could have chosen');
  }

  #checkOpen(open: Signed<RoundOpen>, draw: Signed<Draw>): void {
    const { intent, roster, offers } = this.field;
    const { round, commitments, seats, barred } = open.record;
    demand(open.signer === intent.signer && draw.signer === intent.signer, "a round is not the publisher's");
    demand(open.record.roster === roster, 'a round is of another roster');
    demand(
      round >= 1 && round <= maxRounds(intent.record.shards) && draw.record.round === round,
      'a draw does not belong to its round',
    );
    demand(
      commitments.length >= 1 && commitments.length <= MAX_ROUND_COMMITMENTS && seats.length === commitments.length,
      `a round is not of 1 to ${MAX_ROUND_COMMITMENTS} commitments, each with its seats`,
    );
    const { verifiers, value } = intent.record;
    const fits = (count: number) => (value === 0n ? count === verifiers : count >= verifiers && count <= offers.length);
    demand(seats.every(fits), 'a round has other numbers of seats than the task allows');
    demand(barred.length <= offers.length, 'a round bars more nodes than there are');
    demand(
      this.#chain(intent.signer, intent.record.nonce_tip).has(draw.record.link, round),
      "the publisher's nonce is not of the chain that its intent committed to",
    );
  }

  #make(open: Signed<RoundOpen>, draw: Signed<Draw>): Round {
    const reveals = draw.record.reveals.map((cid) => {
      const reveal = this.story.reveals.get(cid);
      demand(reveal !== undefined, 'a nonce of a draw is missing');
      return reveal;
    });
    const { round, barred } = open.record;
    const links: Uint8Array[] = [];
    const members: Member[] = [];
    for (const offer of this.field.offers) {
      const { nonce_tip, owner } = offer.record;
      if (reveals[0]?.signer !== offer.signer) {
        links.push(taggedHash('meshwork/1/withheld', unhex(nonce_tip), bigEndian(round)));
        continue;
      }
      const { record } = reveals.shift() ?? {};
      demand(record?.open === open.cid && record.round === round, 'a nonce is of another round');
      demand(
        this.#chain(offer.signer, nonce_tip).has(record.link, round),
        'a nonce is not the one that its offer committed to',
      );
      links.push(unhex(record.link));
      if (!barred.includes(offer.signer)) members.push({ node: offer.signer, owner, weight: UNIFORM_WEIGHT });
    }
    demand(reveals.length === 0, "a draw's nonces are not its members', in the order of the roster");
    const seed = taggedHash('meshwork/1/sortition', unhex(open.cid), unhex(draw.record.link), concat(...links));
    return { open, draw, seed, members };
  }

  #chain(node: Hex, tip: Hex): Chain {
    const chain = this.#chains.get(node) ?? new Chain(tip);
    this.#chains.set(node, chain);
    return chain;
  }
}
