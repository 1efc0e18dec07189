// A proof bundle as it lies in its file: the root, the policy, lists of records and contents, and of a task with a fee the
// part about its payment. What is there is named exactly once, in the order in which bundles are written.
import type { Hex } from './bytes.js';
import { readCar, type Archive } from './car.js';
import { ProofBundle, ProofList } from './records.js';
import { demand, refuse } from './refused.js';
import { read, type Typed } from './schema.js';

const MAX_LISTED = 16_384;

export interface Bundle extends Archive {
  root: Hex;
  head: Typed<typeof ProofBundle>;
  lists: (Typed<typeof ProofList> & { cid: Hex })[];
  envelopes: Hex[];
  contents: Hex[];
  block(cid: Hex): Uint8Array;
}

export function readBundle(bytes: Uint8Array): Bundle {
  const archive = readCar(bytes);
  const block = (cid: Hex) => archive.blocks.get(cid) ?? refuse('a block that the bundle names is missing');
  const head = read(ProofBundle, block(archive.root), 'the root');
  demand(new Set(head.lists).size === head.lists.length, 'the bundle names a list twice');
  const lists = head.lists.map((cid) => ({ cid, ...read(ProofList, block(cid), 'a list') }));
  demand(
    lists.every((one) => one.envelopes.length + one.contents.length <= MAX_LISTED),
    `a list has more than ${MAX_LISTED} entries`,
  );
  const envelopes = lists.flatMap((one) => one.envelopes);
  const contents = lists.flatMap((one) => one.contents);
  demand(new Set(envelopes).size === envelopes.length, 'the bundle names a record twice');
  return { ...archive, head, lists, envelopes, contents, block };
}

/**
 * Refuses blocks that nothing names, and another order than that in which bundles are written. `payment`: the blocks of its part, beginning with its root, the
 * charter and the genesis.
 */
export function checkLayout(bundle: Bundle, policy: Hex, payment: readonly Hex[]): void {
  const { lists, blocks, root } = bundle;
  const expected = [root, policy];
  for (const { cid, envelopes, contents } of lists) expected.push(...envelopes, ...contents, cid);
  const found = [...blocks.keys()];
  demand(
    expected.every((cid, i) => found[i] === cid),
    'the blocks are not in the order in which a bundle is written',
  );
  const rest = found.slice(expected.length);
  const known = new Set(payment);
  demand(
    rest.length === known.size && rest.every((cid) => known.has(cid)),
    'the file carries blocks that nothing in it names',
  );
  // The payment's root, charter and genesis come first; what they lead to is sorted.
  const sorted = rest.slice(3);
  demand(
    payment.slice(0, 3).every((cid, i) => rest[i] === cid) &&
      sorted.every((cid, i) => i === 0 || (sorted[i - 1] ?? '') < cid),
    "the payment's blocks are not in the order in which a bundle is written",
  );
}
