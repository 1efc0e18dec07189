// What records are made of, as functions that check a decoded value and return it typed. Strict: a missing, unknown, mistyped
// or out-of-range field is refused by its name.
import { hex, type Hex } from './bytes.js';
import { decode, Link, type Value } from './cbor.js';
import { readCid } from './cid.js';
import { Refused, demand, refuse } from './refused.js';

export type Schema<T> = (value: Value) => T;
export type Typed<S> = S extends Schema<infer T> ? T : never;

const U64 = 1n << 64n;

function whole(value: Value, end: bigint, what: string): bigint {
  if (typeof value !== 'bigint' || value < 0n || value >= end) refuse(`expected ${what}`);
  return value;
}

export const u64: Schema<bigint> = (value) => whole(value, U64, 'an unsigned integer of 64 bits');
export const u32: Schema<number> = (value) => Number(whole(value, 1n << 32n, 'an unsigned integer of 32 bits'));
export const i64: Schema<bigint> = (value) => {
  if (typeof value !== 'bigint' || value < -(1n << 63n) || value >= 1n << 63n) refuse('expected a signed integer');
  return value;
};
export const bool: Schema<boolean> = (value) => (typeof value === 'boolean' ? value : refuse('expected a boolean'));
export const text: Schema<string> = (value) => (typeof value === 'string' ? value : refuse('expected text'));
export const bytes: Schema<Uint8Array> = (value) => (value instanceof Uint8Array ? value : refuse('expected bytes'));
export const cid: Schema<Hex> = (value) => (value instanceof Link ? readCid(value.cid) : refuse('expected a link'));
export const anything: Schema<Value> = (value) => value;

export function fixed(size: number): Schema<Hex> {
  return (value) => {
    if (!(value instanceof Uint8Array) || value.length !== size) refuse(`expected ${size} bytes`);
    return hex(value);
  };
}
export const digest = fixed(32);
export const key = fixed(32);

export function oneOf<const T extends readonly string[]>(...names: T): Schema<T[number]> {
  return (value) => names.find((name) => name === value) ?? refuse('an unknown name');
}

export function list<T>(item: Schema<T>, most = Infinity): Schema<T[]> {
  return (value) => {
    if (!Array.isArray(value)) refuse('expected a list');
    if (value.length > most) refuse(`a list has at most ${most} entries`);
    return value.map((one, i) => within(`item ${i}`, () => item(one)));
  };
}

const OPTIONAL = Symbol('optional');
type Optional<T> = Schema<T | undefined> & { [OPTIONAL]: true };

/** Of a field that may be left out. */
export function optional<T>(schema: Schema<T>): Optional<T> {
  const copy: Schema<T | undefined> = (value) => schema(value);
  return Object.assign(copy, { [OPTIONAL]: true as const });
}

type Fields = Record<string, Schema<unknown>>;
type Struct<F extends Fields> = { [K in keyof F]: Typed<F[K]> };

function within<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refused) throw new Refused(`${where}: ${error.message}`);
    throw error;
  }
}

function readFields<F extends Fields>(map: Map<string, Value>, fields: F, known: number): Struct<F> {
  let seen = known;
  const entries = Object.entries(fields).map(([name, schema]): [string, unknown] => {
    const value = map.get(name);
    if (value === undefined) {
      demand(OPTIONAL in schema, `the field "${name}" is missing`);
      return [name, undefined];
    }
    ++seen;
    return [name, within(`the field "${name}"`, () => schema(value))];
  });
  demand(seen === map.size, 'a field that is not known');
  return Object.fromEntries(entries) as Struct<F>;
}

export function struct<F extends Fields>(fields: F): Schema<Struct<F>> {
  return (value) => {
    if (!(value instanceof Map)) refuse('expected a map');
    return readFields(value, fields, 0);
  };
}

export interface RecordSchema<T> {
  (value: Value): T;
  type: string;
}

/** A map with "type" and "v". */
export function record<F extends Fields>(type: string, version: number, fields: F): RecordSchema<Struct<F>> {
  const schema = (value: Value) => {
    if (!(value instanceof Map)) refuse('expected a map');
    if (value.get('type') !== type) refuse(`this is no "${type}"`);
    if (value.get('v') !== BigInt(version)) refuse(`this is no "${type}" of version ${version}`);
    return readFields(value, fields, 2);
  };
  return Object.assign(schema, { type });
}

export function read<T>(schema: Schema<T>, block: Uint8Array, what: string): T {
  return within(what, () => schema(decode(block)));
}
