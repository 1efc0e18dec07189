// The ledger's drawings made again: from who was eligible and the beacon, the panel, and from it the order for each shard.
import { bigEndian, concat, hex, taggedHash, unhex, type Hex } from './bytes.js';
import { DrawBasis, Member as MemberEntry, type BlockHeader, type Work, type WorkDraw } from './ledger_records.js';
import type { Policy } from './records.js';
import { demand } from './refused.js';
import { drawOrder, poolsOf, sameOwner, type Member, type Party } from './rounds.js';
import { read, type Typed } from './schema.js';
import { MAX_PAID_SEATS, shardsOf } from './settlement.js';
import { checkEntry } from './state_proofs.js';

const MAX_PANEL = 64;
const MAX_SUBSTITUTES = 8;
const MAX_MEMBERS = 2 ** 16;
const PANEL_SHARD = 2 ** 20; // No task has it.
const MAX_WEIGHT = 2n ** 32n - 1n;
const HEAD_BYTES = 48;

/** Who was eligible, as the list's bytes say. */
function readEligible(list: Uint8Array): Member[] {
  const members: Member[] = [];
  const text = new TextDecoder();
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
  for (let at = 0; at < list.length;) {
    demand(list.length - at >= HEAD_BYTES, 'wrong-eligible: the list of the eligible is cut');
    const [weight, length] = [view.getBigUint64(at + 32), view.getBigUint64(at + 40)];
    demand(length <= BigInt(list.length - at - HEAD_BYTES), 'wrong-eligible: the list of the eligible is cut');
    demand(weight > 0n && weight <= MAX_WEIGHT, 'wrong-eligible: a weight that none can have');
    const node = hex(list.subarray(at, at + 32));
    demand((members.at(-1)?.node ?? '') < node, 'wrong-eligible: the list is not in the order of the nodes');
    demand(members.length < MAX_MEMBERS, 'wrong-eligible: more nodes than there are members');
    const end = at + HEAD_BYTES + Number(length);
    members.push({ node, weight, owner: text.decode(list.subarray(at + HEAD_BYTES, end)) });
    at = end;
  }
  return members;
}

/** The first `width` of an order; who is of a party's owner comes after all others. */
function orderOf(seed: Uint8Array, pools: readonly Member[][], width: number): Hex[] {
  const order: Hex[] = [];
  for (const pool of pools) drawOrder(seed, pool, order, width);
  return order;
}

type Drawn = Pick<WorkDraw, 'seats' | 'width' | 'nodes' | 'weights' | 'order'>;

function draw(
  work: Work,
  shards: number,
  eligible: readonly Member[],
  parties: readonly Party[],
  without: ReadonlySet<Hex>,
  beacon: Hex,
  wanted: number,
  least: number,
): Drawn {
  const candidates = eligible.filter(({ node }) => !without.has(node));
  const all = poolsOf(candidates, parties);
  const available = all.reduce((sum, pool) => sum + pool.length, 0);
  if (wanted === 0 || available < least) return { seats: 0, width: 0, nodes: [], weights: [], order: new Uint8Array() };
  const seedOf = (shard: number) =>
    taggedHash('meshwork/1/ledger-seat', unhex(beacon), unhex(work.commitment), bigEndian(shard));
  const drawn = new Set(orderOf(seedOf(PANEL_SHARD), all, Math.max(MAX_PANEL, wanted)));
  const panel = eligible.filter(({ node }) => drawn.has(node));
  const seats = Math.min(wanted, panel.length);
  const width = Math.min(seats + MAX_SUBSTITUTES, panel.length);
  const places = new Map(panel.map(({ node }, i) => [node, i]));
  const pools = poolsOf(panel, parties);
  const order = shardsOf(work, shards).flatMap((shard) => orderOf(seedOf(shard), pools, width));
  return {
    seats,
    width,
    nodes: panel.map(({ node }) => node),
    weights: panel.map(({ weight }) => weight),
    order: concat(...order.map((node) => bigEndian(places.get(node) ?? 0).subarray(6))),
  };
}

function isSame(a: Drawn, b: Drawn): boolean {
  return (
    a.seats === b.seats &&
    a.width === b.width &&
    a.nodes.join() === b.nodes.join() &&
    a.weights.join() === b.weights.join() &&
    hex(a.order) === hex(b.order)
  );
}

export interface DrawingTerms {
  work: Work;
  round: number;
  publisher: Party;
  /** Of the task. */
  shards: number;
  verifiers: number;
  policy: Policy;
}

/** How many seats were wanted, the least that there have to be, and who had a part in the first drawing. */
function termsOf(terms: DrawingTerms, drawn: WorkDraw): { wanted: number; least: number; without: Set<Hex> } {
  const { work, round, verifiers, policy } = terms;
  const [first] = work.draws;
  if (round === 0 || first === undefined) {
    // How many above the task's number goes by the worker's score, which is not shown.
    demand(drawn.seats === 0 || drawn.seats >= verifiers, 'wrong-draw: fewer seats than were asked for');
    return { wanted: drawn.seats === 0 ? verifiers : drawn.seats, least: verifiers, without: new Set() };
  }
  const most = Math.max(policy.verification_quorum.maximum_verifiers, first.seats);
  const parts = [...work.answers, ...work.passed_over].filter((one) => one.round === 0).map((one) => one.node);
  const drawnFirst = new Set(first.nodes);
  return {
    wanted: Math.min(most, MAX_PAID_SEATS),
    least: 1,
    without: new Set(parts.filter((node) => drawnFirst.has(node))),
  };
}

/** Makes a drawing again from what it was made from. Answers whether a node of a party's owner took part. */
export function checkDrawing(
  terms: DrawingTerms,
  drawn: WorkDraw,
  basis: Typed<typeof DrawBasis>,
  header: BlockHeader,
  list: Uint8Array,
): boolean {
  const { work, publisher } = terms;
  demand(
    basis.header === drawn.block && drawn.height === header.height + 1n,
    'wrong-draw: another block than that before the drawing is shown',
  );
  const entry = checkEntry(header.state_root, 'members', work.worker, basis.worker);
  const owner = entry === undefined ? '' : (read(MemberEntry, entry, "bad-payment: the worker's entry").owner ?? '');
  demand(
    hex(taggedHash('meshwork/1/eligible', list)) === drawn.eligible,
    'wrong-eligible: the list of the eligible is another than the one drawn from',
  );
  const eligible = readEligible(list);
  const parties = [{ node: work.worker, owner }, publisher];
  const { wanted, least, without } = termsOf(terms, drawn);
  const again = draw(work, terms.shards, eligible, parties, without, drawn.beacon, wanted, least);
  demand(isSame(again, drawn), 'wrong-draw: the drawing made again comes to other verifiers');
  const answered = new Set(work.answers.map((answer) => answer.node));
  return eligible.some((one) => answered.has(one.node) && parties.some((party) => sameOwner(one, party)));
}
