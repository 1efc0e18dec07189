// Comma-separated values (RFC 4180, with the delimiters that are usual): quotes may hold line ends, rows may be ragged. As
// with JSON, fields only point into the bytes. Bound: MAX_FIELDS; what comes after is left out and said so.

import { decode } from './utf8';
import type { Work } from './work';

export const MAX_FIELDS = 4_000_000;
const BETWEEN_YIELDS = 8192;
const DELIMITERS = [0x2c, 0x09, 0x3b, 0x7c];
const QUOTE = 0x22;

export interface Csv {
  bytes: Uint8Array;
  /** Where each row's fields begin; one more than there are rows. */
  rows: Uint32Array;
  rowCount: number;
  starts: Uint32Array;
  ends: Uint32Array;
  /** The text ended within quotes, or had more fields than the bound. */
  cut: '' | 'quote' | 'bound';
}

class Fields {
  starts = new Uint32Array(1024);
  ends = new Uint32Array(1024);
  rows = new Uint32Array(256);
  fields = 0;
  rowCount = 0;

  add(start: number, end: number): void {
    if (this.fields === this.starts.length) {
      this.starts = Fields.larger(this.starts);
      this.ends = Fields.larger(this.ends);
    }
    this.starts[this.fields] = start;
    this.ends[this.fields] = end;
    this.fields += 1;
  }

  endRow(): void {
    if (this.rowCount + 1 === this.rows.length) this.rows = Fields.larger(this.rows);
    this.rowCount += 1;
    this.rows[this.rowCount] = this.fields;
  }

  private static larger(old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
    const made = new Uint32Array(old.length * 2);
    made.set(old);
    return made;
  }
}

/** Where the field that begins at `at` ends; -1 if its quotes never do. */
function fieldEnd(bytes: Uint8Array, at: number, delimiter: number): number {
  let i = at;
  if (bytes[i] === QUOTE) {
    i += 1;
    for (;;) {
      const quote = bytes.indexOf(QUOTE, i);
      if (quote < 0) return -1;
      i = quote + 1;
      if (bytes[i] !== QUOTE) break;
      i += 1;
    }
  }
  while (i < bytes.length && bytes[i] !== delimiter && bytes[i] !== 0x0a) i += 1;
  return i;
}

export function* parseCsv(bytes: Uint8Array, delimiter: number, maxFields = MAX_FIELDS): Work<Csv> {
  const fields = new Fields();
  let cut: Csv['cut'] = '';
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  let rowStart = at;
  while (at <= bytes.length && !(at === bytes.length && at === rowStart)) {
    if (fields.fields === maxFields) {
      cut = 'bound';
      break;
    }
    const found = fieldEnd(bytes, at, delimiter);
    const end = found < 0 ? bytes.length : found;
    if (found < 0) cut = 'quote';
    const isLast = end >= bytes.length || bytes[end] === 0x0a;
    const carriage = isLast && end > at && bytes[end - 1] === 0x0d ? 1 : 0;
    const isEmptyLine = isLast && at === rowStart && end - carriage === at;
    if (!isEmptyLine) fields.add(at, end - carriage);
    at = end + 1;
    if (isLast) {
      if (!isEmptyLine) fields.endRow();
      rowStart = at;
    }
    if (end >= bytes.length) break;
    if (fields.fields % BETWEEN_YIELDS === 0) yield;
  }
  if (cut === 'bound' && fields.rows[fields.rowCount] !== fields.fields) fields.endRow();
  return { bytes, rows: fields.rows, rowCount: fields.rowCount, starts: fields.starts, ends: fields.ends, cut };
}

/** A field's text without its quotes, at most some `most` bytes of it. */
export function fieldText(csv: Csv, field: number, most = 1000): string {
  const start = csv.starts[field]!;
  const end = csv.ends[field]!;
  const text = decode(csv.bytes, start, Math.min(end, start + most));
  if (!text.startsWith('"')) return text;
  const whole = end - start <= most && text.length > 1 && text.endsWith('"') ? text.slice(1, -1) : text.slice(1);
  return whole.replaceAll('""', '"');
}

/** How many fields each of the first lines has with this delimiter; the last line may be cut. */
function widths(sample: Uint8Array, delimiter: number, isCut: boolean): number[] {
  const parsing = parseCsv(sample, delimiter, 20_000);
  let step = parsing.next();
  while (!step.done) step = parsing.next();
  const { rows, rowCount } = step.value;
  const found: number[] = [];
  for (let i = 0; i < Math.min(rowCount - (isCut ? 1 : 0), 50); i += 1) found.push(rows[i + 1]! - rows[i]!);
  return found;
}

function mode(values: readonly number[]): { value: number; times: number } {
  const seen = new Map<number, number>();
  let best = { value: 0, times: 0 };
  for (const value of values) {
    const times = (seen.get(value) ?? 0) + 1;
    seen.set(value, times);
    if (times > best.times) best = { value, times };
  }
  return best;
}

/** Prose has commas, too, but each is followed by a space and its lines do not agree on their number. */
function isProse(sample: Uint8Array): boolean {
  let commas = 0;
  let spaced = 0;
  for (let i = 0; i + 1 < sample.length; i += 1) {
    if (sample[i] !== 0x2c) continue;
    commas += 1;
    const next = sample[i + 1]!;
    if (next === 0x20 && ((sample[i + 2] ?? 0) | 0x20) >= 0x61) spaced += 1;
  }
  return commas > 0 && spaced > commas * 0.6;
}

/** The delimiter with which the lines agree best on their number of fields, or null if this does not look like CSV. */
export function looksLikeCsv(sample: Uint8Array, isCut: boolean, name?: string): number | null {
  const isNamed = /\.(csv|tsv)$/i.test(name ?? '');
  let best: { delimiter: number; score: number } | null = null;
  for (const delimiter of DELIMITERS) {
    const found = widths(sample, delimiter, isCut);
    const { value, times } = mode(found);
    const share = times / found.length;
    if (value < 2 || (found.length < 2 && !isNamed) || (share < 0.8 && !isNamed)) continue;
    if (delimiter === 0x2c && !isNamed && isProse(sample)) continue;
    if (!best || share > best.score) best = { delimiter, score: share };
  }
  return best?.delimiter ?? null;
}
