// What a task may ask for under its policy, and who is in: the roster and its offers.
import { utf8, type Hex } from './bytes.js';
import type { ComputeOffer, Policy, TaskIntent } from './records.js';
import { demand } from './refused.js';
import type { Signed, Story } from './story.js';

export const EVERYTHING = 1000;
const MAX_ROSTER = 64;
const DAY_MS = 86_400_000;
const MAX_SHARDS = 2 ** 20;

function between(what: string, value: number | bigint, low: number, high: number | bigint): void {
  demand(value >= low && value <= high, `${what} is not between ${low} and ${high}`);
}

export function checkPolicy(policy: Policy): void {
  const reward = policy.reward_settings;
  const shares = reward.worker_percentage + reward.verifier_percentage + reward.platform_fee_percentage;
  demand(shares === 100, "the policy's rewards do not add up to 100 percent");
  const { alpha, beta, gamma, lambda } = policy.reputation;
  demand(alpha + beta + gamma === 1000 && lambda <= 1000, "the policy's weights of reputation are no per mille");
  const quorum = policy.verification_quorum;
  between("the policy's required percentage", quorum.required_percentage, 51, 100);
  between("the policy's least number of verifiers", quorum.minimum_verifiers, 1, quorum.maximum_verifiers);
  between("the policy's largest number of verifiers", quorum.maximum_verifiers, 1, 63);
  demand(quorum.value_per_verifier >= 1n, "the policy's value of a verifier is zero");
  const { scheduling } = policy;
  between("the policy's shards of a task", scheduling.max_shards_per_task, 1, MAX_SHARDS);
  between("the policy's queue", scheduling.max_queued_shards, 1, 2 ** 32);
  between("the policy's bid window", scheduling.bid_window_ms, 1, scheduling.max_bid_window_ms);
}

export function checkIntent(intent: TaskIntent, policy: Policy): void {
  between('the number of shards', intent.shards, 1, policy.scheduling.max_shards_per_task);
  between('the number of verifiers', intent.verifiers, 0, policy.verification_quorum.maximum_verifiers);
  between('the sampled share', intent.sample, 1, EVERYTHING);
  demand(intent.sample === EVERYTHING || intent.verifiers > 0, 'a share is to be verified by nobody');
  between('the bid window', intent.bid_window_ms, 1, policy.scheduling.max_bid_window_ms);
  between('the memory', intent.scope.memory_mb, 1, 4096);
  between('the fuel', intent.scope.fuel, 1, 1n << 60n);
  between('the output', intent.scope.io_mb, 1, 1024);
  const { fetch_ms, run_ms, nonce_ms, reveal_ms, total_ms } = intent.limits;
  for (const limit of [fetch_ms, run_ms, nonce_ms, reveal_ms]) between("a phase's limit", limit, 1, DAY_MS);
  demand(total_ms >= 1, 'the limit of the whole task is zero');
  between("the label's length", utf8(intent.label).length, 0, 128);
  between("the owner's length", utf8(intent.owner).length, 0, 128);
  between("the engine's length", utf8(intent.engine).length, 1, 256);
}

function checkOffer(offer: Signed<ComputeOffer>, intent: Signed<TaskIntent>): void {
  const { cost, capacity, valid_ms, owner } = offer.record;
  demand(offer.signer !== intent.signer, 'the publisher bids on its own task');
  demand(cost <= intent.record.fee, 'an offer asks for more than the fee');
  demand(cost * BigInt(intent.record.shards) < 1n << 64n, 'the cost of all shards is past 64 bits');
  between("an offer's capacity", capacity, 1, 4096);
  demand(valid_ms > 0, 'an offer is valid for no time');
  between("an offer's owner", utf8(owner).length, 0, 128);
}

/** Intent, roster and the roster's offers, in its order. */
export interface Field {
  intent: Signed<TaskIntent>;
  roster: Hex;
  offers: Signed<ComputeOffer>[];
}

export function fieldOf(story: Story, intent: Signed<TaskIntent>): Field {
  const { roster } = story;
  demand(roster !== undefined, 'there are verdicts but no roster');
  demand(roster.signer === intent.signer, "the roster is not the publisher's");
  demand(roster.record.offers.length <= MAX_ROSTER, `a roster has at most ${MAX_ROSTER} offers`);
  const offers = roster.record.offers.map((cid) => {
    const offer = story.offers.get(cid);
    demand(offer !== undefined, 'an offer of the roster is missing');
    checkOffer(offer, intent);
    return offer;
  });
  demand(new Set(offers.map((offer) => offer.signer)).size === offers.length, 'the roster has two offers of one node');
  return { intent, roster: roster.cid, offers };
}
