// The records of a bundle, each read strictly, signed in the bundle's federation and of its task.
import type { Hex } from './bytes.js';
import { decodeMap } from './cbor.js';
import { cidOf, DAG_CBOR } from './cid.js';
import * as records from './records.js';
import { demand, refuse } from './refused.js';
import type { RecordSchema, Typed } from './schema.js';
import { read } from './schema.js';
import { checkRecordSignature } from './signatures.js';

/** A record whose signature holds. */
export interface Signed<T> {
  cid: Hex;
  signer: Hex;
  record: T;
}
type Book<T> = Map<Hex, Signed<T>>;

/** Of one draw and one commitment. */
export function pairOf(draw: Hex, commitment: Hex): string {
  return `${draw}/${commitment}`;
}

export class Story {
  intent: Signed<records.TaskIntent> | undefined;
  roster: Signed<records.Roster> | undefined;
  readonly offers: Book<records.ComputeOffer> = new Map();
  readonly awards: Book<records.Award> = new Map();
  readonly commitments: Book<records.Commitment> = new Map();
  readonly opens: Book<records.RoundOpen> = new Map();
  readonly reveals: Book<records.NonceReveal> = new Map();
  readonly draws: Book<records.Draw> = new Map();
  readonly receipts: Book<records.ExecutionReceipt> = new Map();
  readonly verifications: Book<records.VerificationReceipt> = new Map();
  readonly verdicts: Signed<records.Verdict>[] = [];
  /** By draw and worker's commitment. */
  readonly substitutions = new Map<string, Signed<records.Substitution>[]>();
  readonly extensions = new Map<string, Signed<records.Extension>[]>();
  readonly #once = new Set<Hex>();

  constructor(
    readonly federation: Hex,
    readonly task: Hex,
  ) {}

  /** Takes the record of one envelope block. */
  take(block: Uint8Array): void {
    const envelope = read(records.Envelope, block, 'an envelope');
    const type = decodeMap(envelope.body).get('type');
    demand(typeof type === 'string', 'a record has no type');
    const put = this.#places.get(type);
    if (put === undefined) refuse('a record of a type that has no place in a bundle');
    put(envelope);
  }

  readonly #places = new Map<string, (envelope: Typed<typeof records.Envelope>) => void>([
    ['task-intent', (envelope) => (this.intent = this.#only(this.intent, this.#open(records.TaskIntent, envelope)))],
    ['roster', (envelope) => (this.roster = this.#only(this.roster, this.#open(records.Roster, envelope)))],
    this.#book(records.ComputeOffer, this.offers),
    this.#book(records.Award, this.awards),
    this.#book(records.Commitment, this.commitments),
    this.#book(records.RoundOpen, this.opens),
    this.#book(records.NonceReveal, this.reveals),
    this.#book(records.Draw, this.draws),
    this.#book(records.ExecutionReceipt, this.receipts),
    this.#book(records.VerificationReceipt, this.verifications),
    ['verdict', (envelope) => this.verdicts.push(this.#first(this.#open(records.Verdict, envelope)))],
    ['substitution', (envelope) => this.#byDraw(this.substitutions, this.#open(records.Substitution, envelope))],
    ['extension', (envelope) => this.#byDraw(this.extensions, this.#open(records.Extension, envelope))],
  ]);

  #book<T>(schema: RecordSchema<T>, book: Book<T>): [string, (envelope: Typed<typeof records.Envelope>) => void] {
    return [
      schema.type,
      (envelope) => {
        const signed = this.#open(schema, envelope);
        book.set(signed.cid, signed);
      },
    ];
  }

  #open<T>(schema: RecordSchema<T>, envelope: Typed<typeof records.Envelope>): Signed<T> {
    const record = read(schema, envelope.body, `a "${schema.type}"`);
    const cid = cidOf(DAG_CBOR, envelope.body);
    const about = (record as { intent?: Hex }).intent ?? cid;
    demand(about === this.task, `a "${schema.type}" is of another task`);
    checkRecordSignature(envelope, schema.type, this.federation);
    return { cid, signer: envelope.key, record };
  }

  #only<T>(known: Signed<T> | undefined, signed: Signed<T>): Signed<T> {
    demand(known === undefined || known.cid === signed.cid, 'there are two intents or two rosters');
    return signed;
  }

  #first<T>(signed: Signed<T>): Signed<T> {
    demand(!this.#once.has(signed.cid), 'a record is there twice');
    this.#once.add(signed.cid);
    return signed;
  }

  #byDraw<T extends { draw: Hex; commitment: Hex }>(map: Map<string, Signed<T>[]>, signed: Signed<T>): void {
    const pair = pairOf(signed.record.draw, signed.record.commitment);
    map.set(pair, [...(map.get(pair) ?? []), this.#first(signed)]);
  }
}
