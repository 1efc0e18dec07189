// Strict DAG-CBOR, as records are written: shortest lengths, keys in order and once each, no floats, no tag but 42.
//
// Bounds, checked before anything is allocated: 2 MiB, 16 levels, 524,288 values and keys, unless told otherwise.
import { demand, refuse } from './refused.js';

export class Link {
  constructor(readonly cid: Uint8Array) {}
}
export type Value = null | boolean | bigint | string | Uint8Array | Link | Value[] | Map<string, Value>;

export interface Limits {
  bytes: number;
  depth: number;
  items: number;
}
export const RECORD_LIMITS: Limits = { bytes: 2 * 2 ** 20, depth: 16, items: 2 ** 19 };

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5, tag: 6, simple: 7 } as const;
const SIMPLE: ReadonlyMap<number, null | boolean> = new Map([
  [20, false],
  [21, true],
  [22, null],
]);
const LINK_TAG = 42n;
const MAX_LINK_BYTES = 128;

class Decoder {
  #at = 0;
  #items = 0;
  readonly #view: DataView;
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(
    readonly bytes: Uint8Array,
    readonly limits: Limits,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole(): Value {
    if (this.bytes.length > this.limits.bytes) this.#refuse(`more than ${this.limits.bytes} bytes`);
    const value = this.#value(0);
    if (this.#at !== this.bytes.length) this.#refuse('bytes after the value');
    return value;
  }

  #refuse(what: string): never {
    refuse(`DAG-CBOR at byte ${this.#at}: ${what}`);
  }

  #head(): [major: number, argument: bigint] {
    if (this.#at >= this.bytes.length) this.#refuse('the input ends where a value should be');
    const initial = this.#view.getUint8(this.#at++);
    const [major, info] = [initial >> 5, initial & 31];
    if (info < 24) return [major, BigInt(info)];
    if (info > 27) this.#refuse('an indefinite or reserved length');
    if (major === MAJOR.simple) this.#refuse('a float or an unknown simple value');
    const width = 1 << (info - 24);
    if (this.bytes.length - this.#at < width) this.#refuse('the input ends inside a number');
    let argument = 0n;
    for (let i = 0; i < width; ++i) argument = (argument << 8n) | BigInt(this.#view.getUint8(this.#at++));
    const least = info === 24 ? 24n : 1n << BigInt(4 * width);
    if (argument < least) this.#refuse('a number or length that is not in its shortest form');
    return [major, argument];
  }

  #count(): void {
    if (++this.#items > this.limits.items) this.#refuse(`more than ${this.limits.items} values`);
  }

  #take(length: bigint): Uint8Array {
    if (length > BigInt(this.bytes.length - this.#at)) this.#refuse('a length past the end of the input');
    const start = this.#at;
    this.#at += Number(length);
    return this.bytes.subarray(start, this.#at);
  }

  #string(length: bigint): string {
    const bytes = this.#take(length);
    try {
      return this.#text.decode(bytes);
    } catch {
      return this.#refuse('text that is not UTF-8');
    }
  }

  #value(depth: number): Value {
    this.#count();
    const [major, argument] = this.#head();
    switch (major) {
      case MAJOR.unsigned:
        return argument;
      case MAJOR.negative:
        return -1n - argument;
      case MAJOR.bytes:
        return this.#take(argument);
      case MAJOR.text:
        return this.#string(argument);
      case MAJOR.list:
        return this.#list(argument, this.#deeper(depth));
      case MAJOR.map:
        return this.#map(argument, this.#deeper(depth));
      case MAJOR.tag:
        this.#deeper(depth);
        return this.#link(argument);
      default: {
        const value = SIMPLE.get(Number(argument));
        return value === undefined ? this.#refuse('a simple value that is not false, true or null') : value;
      }
    }
  }

  #deeper(depth: number): number {
    if (depth >= this.limits.depth) this.#refuse(`nested deeper than ${this.limits.depth}`);
    return depth + 1;
  }

  #entries(count: bigint, leastBytes: number): number {
    if (count * BigInt(leastBytes) > BigInt(this.bytes.length - this.#at))
      this.#refuse('a count past the end of the input');
    return Number(count);
  }

  #list(length: bigint, depth: number): Value[] {
    const list: Value[] = [];
    for (let left = this.#entries(length, 1); left > 0; --left) list.push(this.#value(depth));
    return list;
  }

  #map(length: bigint, depth: number): Map<string, Value> {
    const map = new Map<string, Value>();
    let before: Uint8Array | undefined;
    for (let left = this.#entries(length, 2); left > 0; --left) {
      this.#count();
      const [major, size] = this.#head();
      if (major !== MAJOR.text) this.#refuse('a map key that is not text');
      const start = this.#at;
      const key = this.#string(size);
      const bytes = this.bytes.subarray(start, this.#at);
      if (before !== undefined && !isBefore(before, bytes)) this.#refuse('map keys out of order or twice');
      before = bytes;
      map.set(key, this.#value(depth));
    }
    return map;
  }

  #link(tag: bigint): Link {
    if (tag !== LINK_TAG) this.#refuse('a tag that is not 42');
    const [major, length] = this.#head();
    if (major !== MAJOR.bytes || length > MAX_LINK_BYTES) this.#refuse('a link that is not the bytes of a CID');
    const bytes = this.#take(length);
    if (bytes.length < 2 || bytes[0] !== 0) this.#refuse('a link that does not begin with 0x00');
    return new Link(bytes.subarray(1));
  }
}

/** Keys are ordered by length, then by bytes. */
function isBefore(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return a.length < b.length;
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}

export function decode(bytes: Uint8Array, limits: Limits = RECORD_LIMITS): Value {
  return new Decoder(bytes, limits).whole();
}

/** The map that these bytes are. */
export function decodeMap(bytes: Uint8Array, limits?: Limits): Map<string, Value> {
  const value = decode(bytes, limits);
  demand(value instanceof Map, 'DAG-CBOR that is no map');
  return value;
}
