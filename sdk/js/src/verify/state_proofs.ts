// An entry of a ledger's state, shown by its path up to the root of its table.
import { concat, hex, sha256, unhex, utf8, type Hex } from './bytes.js';
import { StateSummary, type EntryProof, type TableName } from './ledger_records.js';
import { demand } from './refused.js';
import { read } from './schema.js';

const EMPTY = new Uint8Array(32);
const LEAF = Uint8Array.of(0);
const INNER = Uint8Array.of(1);

/** Whether the path goes right at this level. */
function bit(place: Uint8Array, depth: number): boolean {
  return (((place[depth >> 3] ?? 0) >> (7 - (depth & 7))) & 1) === 1;
}

function checkPath(root: Hex, place: Uint8Array, beside: readonly Hex[], end: Uint8Array): void {
  let hash = end;
  for (let depth = beside.length - 1; depth >= 0; --depth) {
    const other = unhex(beside[depth] ?? '');
    hash = bit(place, depth) ? sha256(INNER, other, hash) : sha256(INNER, hash, other);
  }
  demand(hex(hash) === root, 'proof-of-another-root: a path does not lead to its root');
}

/** The entry at `key` of a table after the block with this state root; none if it is shown that there is none. */
export function checkEntry(stateRoot: Hex, table: TableName, key: Hex, shown: EntryProof): Uint8Array | undefined {
  demand(hex(sha256(shown.summary)) === stateRoot, 'proof-of-another-root: a summary is of another state');
  demand(shown.table === table, 'proof-of-another-table: an entry is shown of another table');
  const root = read(StateSummary, shown.summary, 'bad-summary').roots[table];
  const place = sha256(concat(utf8(table), LEAF, unhex(key)));
  const { beside, end } = shown.proof;
  if (shown.entry !== undefined) {
    demand(end?.place === hex(place), 'proof-of-another-entry: a path does not end in its entry');
    const value = sha256(shown.entry);
    demand(end.value === hex(value), 'proof-of-another-value: a path ends in another value');
    checkPath(root, place, beside, sha256(LEAF, place, value));
    return shown.entry;
  }
  if (end === undefined) {
    checkPath(root, place, beside, EMPTY);
    return undefined;
  }
  const other = unhex(end.place);
  demand(end.place !== hex(place), 'proof-of-presence: a path ends in the entry that should not be there');
  // They would have been parted further down: so they agree in each bit that the path looked at.
  demand(
    beside.every((_, depth) => bit(place, depth) === bit(other, depth)),
    'proof-of-another-path: a path ends in an entry that lies elsewhere',
  );
  checkPath(root, place, beside, sha256(LEAF, other, unhex(end.value)));
  return undefined;
}
