// A strict JSON parser (RFC 8259) that leaves the text where it is: a document is a table of nodes that point into the
// bytes, some 25 bytes per node, so that a million nodes cost no objects and every number keeps its exact text. JSON.parse
// would round big integers, and its reviver is shown the source text only by newer browsers.
//
// Beyond the standard it takes NaN, Infinity and -Infinity, which Python and others write, and counts them, so that the
// view can say so. Bounds: MAX_NODES, MAX_DEPTH, MAX_NUMBER. What breaks a rule or a bound is named with its offset.

import { decode, sequenceLength } from './utf8';
import type { Work } from './work';

export const MAX_NODES = 4_000_000;
export const MAX_DEPTH = 500;
const MAX_NUMBER = 10_000;
const SCAN = 1 << 20;
const BETWEEN_YIELDS = 4096;

export enum Kind {
  null,
  false,
  true,
  number,
  string,
  array,
  object,
}

export interface JsonError {
  offset: number;
  message: string;
}

export type Parsed = { ok: true; document: JsonDocument } | { ok: false; error: JsonError };

const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** The nodes stand in the order of the text; a container is followed by all that it holds. */
export class JsonDocument {
  length = 0;
  /** How many numbers are NaN, Infinity or -Infinity, which no strict parser takes. */
  nonStandard = 0;
  kinds: Uint8Array;
  starts: Uint32Array;
  ends: Uint32Array;
  /** Nodes of the whole subtree, itself included. */
  sizes: Uint32Array;
  counts: Uint32Array;
  /** Where the key's text begins, within its quotes; an element of an array has none and both are 0. */
  keyStarts: Uint32Array;
  keyEnds: Uint32Array;

  constructor(
    readonly bytes: Uint8Array,
    private readonly maxNodes: number,
  ) {
    // Room that is not used costs no memory, but to make more does copy.
    const room = Math.min(maxNodes, 1024 + Math.ceil(bytes.length / 6));
    this.kinds = new Uint8Array(room);
    this.starts = new Uint32Array(room);
    this.ends = new Uint32Array(room);
    this.sizes = new Uint32Array(room);
    this.counts = new Uint32Array(room);
    this.keyStarts = new Uint32Array(room);
    this.keyEnds = new Uint32Array(room);
  }

  /** -1 if there is no more room. */
  add(kind: Kind, start: number, end: number, keyStart: number, keyEnd: number): number {
    if (this.length === this.maxNodes) return -1;
    if (this.length === this.kinds.length) this.grow();
    const node = this.length;
    this.kinds[node] = kind;
    this.starts[node] = start;
    this.ends[node] = end;
    this.sizes[node] = 1;
    this.keyStarts[node] = keyStart;
    this.keyEnds[node] = keyEnd;
    this.length += 1;
    return node;
  }

  private grow(): void {
    const room = Math.min(this.maxNodes, this.kinds.length * 2);
    const kinds = new Uint8Array(room);
    kinds.set(this.kinds);
    this.kinds = kinds;
    const larger = (old: Uint32Array) => {
      const made = new Uint32Array(room);
      made.set(old);
      return made;
    };
    this.starts = larger(this.starts);
    this.ends = larger(this.ends);
    this.sizes = larger(this.sizes);
    this.counts = larger(this.counts);
    this.keyStarts = larger(this.keyStarts);
    this.keyEnds = larger(this.keyEnds);
  }

  kind(node: number): Kind {
    return this.kinds[node]!;
  }

  isContainer(node: number): boolean {
    return this.kinds[node]! >= Kind.array;
  }

  childCount(node: number): number {
    return this.counts[node]!;
  }

  /** The node after this one's subtree: the next sibling, where there is one. */
  after(node: number): number {
    return node + this.sizes[node]!;
  }

  *children(node: number): Generator<number, void, void> {
    const end = this.after(node);
    if (this.isContainer(node)) for (let child = node + 1; child < end; child = this.after(child)) yield child;
  }

  hasKey(node: number): boolean {
    return this.keyStarts[node] !== 0;
  }

  private unescaped(start: number, end: number, most: number): string {
    const text = decode(this.bytes, start, Math.min(end, start + most));
    if (!text.includes('\\')) return text;
    return text.replace(/\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))/g, (_, hex: string | undefined, plain: string) =>
      hex === undefined ? (ESCAPES[plain] ?? plain) : String.fromCharCode(parseInt(hex, 16)),
    );
  }

  key(node: number, most = 1000): string {
    return this.unescaped(this.keyStarts[node]!, this.keyEnds[node]!, most);
  }

  /** A string's content, or the source text of any other value; at most some `most` bytes of it. */
  text(node: number, most = 1000): string {
    const start = this.starts[node]!;
    const end = this.ends[node]!;
    if (this.kinds[node] === Kind.string) return this.unescaped(start + 1, end - 1, most);
    return decode(this.bytes, start, Math.min(end, start + most));
  }

  /** The nearest double; 1e400 comes to Infinity. NaN for what is no number. */
  number(node: number): number {
    if (this.kinds[node] !== Kind.number) return Number.NaN;
    return Number(decode(this.bytes, this.starts[node]!, this.ends[node]!));
  }

  /** The member of an object with this key, or -1. `near` is tried first: most objects of a list have one order. */
  member(node: number, key: Uint8Array, near = 0): number {
    if (near > 0 && node + near < this.after(node) && this.keyIs(node + near, key)) return node + near;
    if (this.kinds[node] !== Kind.object) return -1;
    const end = this.after(node);
    for (let child = node + 1; child < end; child += this.sizes[child]!) if (this.keyIs(child, key)) return child;
    return -1;
  }

  keyIs(node: number, key: Uint8Array): boolean {
    const start = this.keyStarts[node]!;
    if (this.keyEnds[node]! - start !== key.length || start === 0) return false;
    for (let i = 0; i < key.length; i += 1) if (this.bytes[start + i] !== key[i]) return false;
    return true;
  }

  rawKey(node: number): Uint8Array {
    return this.bytes.subarray(this.keyStarts[node]!, this.keyEnds[node]!);
  }
}

class Failure extends Error {
  constructor(
    readonly offset: number,
    message: string,
  ) {
    super(message);
  }
}

const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 0x30 && byte <= 0x39;

function isHex(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

function shown(byte: number | undefined): string {
  if (byte === undefined) return 'the end';
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `byte 0x${byte.toString(16).padStart(2, '0')}`;
}

/** Where in the text the parser is, and the small scanners that move it on. */
class Scanner {
  at = 0;

  constructor(readonly bytes: Uint8Array) {
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.at = 3;
  }

  peek(): number | undefined {
    return this.bytes[this.at];
  }

  /** Passes white space; true if a line feed was among it. */
  space(): boolean {
    let line = false;
    while (this.at < this.bytes.length && isSpace(this.bytes[this.at]!)) {
      if (this.bytes[this.at] === 0x0a) line = true;
      this.at += 1;
    }
    return line;
  }

  /** Goes on in a string, after its opening quote, for a bounded stretch. True when past the closing quote. */
  string(): boolean {
    const stop = Math.min(this.bytes.length, this.at + SCAN);
    while (this.at < stop) {
      const byte = this.bytes[this.at]!;
      if (byte === 0x22) {
        this.at += 1;
        return true;
      }
      if (byte === 0x5c) this.escape();
      else if (byte < 0x20) throw new Failure(this.at, `a string holds ${shown(byte)}, which must be escaped`);
      else if (byte < 0x80) this.at += 1;
      else {
        const length = sequenceLength(this.bytes, this.at);
        if (length === 0) throw new Failure(this.at, 'a string holds invalid UTF-8');
        this.at += length;
      }
    }
    if (this.at >= this.bytes.length) throw new Failure(this.bytes.length, 'a string has no end');
    return false;
  }

  private escape(): void {
    const next = this.bytes[this.at + 1];
    if (next === 0x75) {
      for (let i = 2; i < 6; i += 1)
        if (!isHex(this.bytes[this.at + i])) throw new Failure(this.at, 'a \\u escape needs four hexadecimal digits');
      this.at += 6;
    } else if (next !== undefined && '"\\/bfnrt'.includes(String.fromCharCode(next))) {
      this.at += 2;
    } else {
      throw new Failure(this.at, `there is no escape \\ with ${shown(next)}`);
    }
  }

  word(word: string): boolean {
    for (let i = 0; i < word.length; i += 1) if (this.bytes[this.at + i] !== word.charCodeAt(i)) return false;
    this.at += word.length;
    return true;
  }

  private digits(): void {
    if (!isDigit(this.peek())) throw new Failure(this.at, `a digit is expected, but here is ${shown(this.peek())}`);
    while (isDigit(this.peek())) this.at += 1;
  }

  number(): void {
    const start = this.at;
    if (this.peek() === 0x2d) this.at += 1;
    if (this.peek() === 0x30) {
      this.at += 1;
      if (isDigit(this.peek())) throw new Failure(this.at, 'a number must not begin with 0');
    } else {
      this.digits();
    }
    if (this.peek() === 0x2e) {
      this.at += 1;
      this.digits();
    }
    if (this.peek() === 0x65 || this.peek() === 0x45) {
      this.at += 1;
      if (this.peek() === 0x2b || this.peek() === 0x2d) this.at += 1;
      this.digits();
    }
    if (this.at - start > MAX_NUMBER) throw new Failure(start, `a number has more than ${MAX_NUMBER} digits`);
  }
}

class Parser {
  readonly document: JsonDocument;
  private readonly scan: Scanner;
  private readonly open: number[] = [];
  private keyStart = 0;
  private keyEnd = 0;

  constructor(
    bytes: Uint8Array,
    private readonly lines: boolean,
    maxNodes: number,
  ) {
    this.document = new JsonDocument(bytes, maxNodes);
    this.scan = new Scanner(bytes);
  }

  *run(): Work<void> {
    if (this.lines) this.enter(Kind.array);
    for (let steps = 1; ; steps += 1) {
      if (steps % BETWEEN_YIELDS === 0) yield;
      if (yield* this.value()) continue;
      if (!(yield* this.next())) return;
    }
  }

  /** Takes a value, or the opening of a container: true if what it holds comes next. */
  private *value(): Work<boolean> {
    const { scan } = this;
    scan.space();
    const start = scan.at;
    const byte = scan.peek();
    if (byte === 0x7b || byte === 0x5b) {
      this.enter(byte === 0x7b ? Kind.object : Kind.array);
      scan.at += 1;
      scan.space();
      if (scan.peek() === byte + 2) return false;
      if (byte === 0x7b) yield* this.key();
      return true;
    }
    if (byte === 0x22) {
      yield* this.quoted();
      this.add(Kind.string, start);
    } else {
      this.add(this.word(byte), start);
    }
    return false;
  }

  /** Closes what ends here, and goes to the next value; false at the end of the text. */
  private *next(): Work<boolean> {
    const { scan } = this;
    for (;;) {
      const newLine = scan.space();
      const parent = this.open.at(-1);
      if (parent === undefined || (this.lines && this.open.length === 1)) return this.nextRoot(newLine);
      const isObject = this.document.kind(parent) === Kind.object;
      if (scan.peek() === 0x2c) {
        scan.at += 1;
        scan.space();
        if (isObject) yield* this.key();
        return true;
      }
      const close = isObject ? 0x7d : 0x5d;
      if (scan.peek() !== close)
        throw new Failure(scan.at, `',' or ${shown(close)} is expected, but here is ${shown(scan.peek())}`);
      scan.at += 1;
      this.leave();
    }
  }

  private nextRoot(newLine: boolean): boolean {
    if (this.scan.peek() === undefined) {
      if (this.lines) this.leave();
      return false;
    }
    if (!this.lines || !newLine)
      throw new Failure(this.scan.at, `the value has ended, but here is ${shown(this.scan.peek())}`);
    return true;
  }

  private word(byte: number | undefined): Kind {
    const { scan } = this;
    if (scan.word('true')) return Kind.true;
    if (scan.word('false')) return Kind.false;
    if (scan.word('null')) return Kind.null;
    if (scan.word('NaN') || scan.word('Infinity') || scan.word('-Infinity')) this.document.nonStandard += 1;
    else if (byte === 0x2d || isDigit(byte)) scan.number();
    else throw new Failure(scan.at, `a value is expected, but here is ${shown(byte)}`);
    return Kind.number;
  }

  private add(kind: Kind, start: number): number {
    const node = this.document.add(kind, start, this.scan.at, this.keyStart, this.keyEnd);
    if (node < 0) throw new Failure(start, 'there are too many values to show them as a tree');
    const parent = this.open.at(-1);
    if (parent !== undefined) this.document.counts[parent]! += 1;
    this.keyStart = 0;
    this.keyEnd = 0;
    return node;
  }

  private enter(kind: Kind): void {
    if (this.open.length === MAX_DEPTH) throw new Failure(this.scan.at, `values are nested deeper than ${MAX_DEPTH}`);
    this.open.push(this.add(kind, this.scan.at));
  }

  private leave(): void {
    const node = this.open.pop()!;
    this.document.ends[node] = this.scan.at;
    this.document.sizes[node] = this.document.length - node;
  }

  private *quoted(): Work<void> {
    this.scan.at += 1;
    while (!this.scan.string()) yield;
  }

  private *key(): Work<void> {
    const { scan } = this;
    if (scan.peek() !== 0x22)
      throw new Failure(scan.at, `a key in quotes is expected, but here is ${shown(scan.peek())}`);
    this.keyStart = scan.at + 1;
    yield* this.quoted();
    this.keyEnd = scan.at - 1;
    scan.space();
    if (scan.peek() !== 0x3a) throw new Failure(scan.at, `':' is expected, but here is ${shown(scan.peek())}`);
    scan.at += 1;
  }
}

/** Parses one document or, with `lines`, one value per line, which become the elements of an array. */
export function* parseJson(bytes: Uint8Array, lines = false, maxNodes = MAX_NODES): Work<Parsed> {
  const parser = new Parser(bytes, lines, maxNodes);
  try {
    yield* parser.run();
    return { ok: true, document: parser.document };
  } catch (error) {
    if (error instanceof Failure) return { ok: false, error: { offset: error.offset, message: error.message } };
    throw error;
  }
}
