// Reads a result as what it looks like: JSON, else JSON lines, else CSV, else only text. Says in a note why what looked like
// JSON is not.

import { csvDataset, type Dataset, findDataset } from './chart/dataset';
import { looksLikeCsv, MAX_FIELDS, parseCsv } from './csv';
import { type Detected, SAMPLE } from './detect';
import { type JsonDocument, type JsonError, parseJson } from './json';
import { csvTable, type Table, tableOf } from './table';
import type { Work } from './work';

export interface Opened {
  document: JsonDocument | null;
  table: Table | null;
  dataset: Dataset | null;
  notes: string[];
}

const NOTHING: Opened = { document: null, table: null, dataset: null, notes: [] };

function* openDocument(document: JsonDocument, notes: string[]): Work<Opened> {
  const dataset = yield* findDataset(document);
  const whole = yield* tableOf(document, 0);
  const numbers = document.nonStandard;
  if (numbers > 0) notes.push(`${numbers} of the numbers are NaN or Infinity, which standard JSON does not allow.`);
  // A table of the part that is drawn says more than one of the whole.
  return { document, table: dataset?.table ?? whole, dataset, notes };
}

function* openCsv(bytes: Uint8Array, delimiter: number): Work<Opened> {
  const csv = yield* parseCsv(bytes, delimiter);
  const table = yield* csvTable(csv);
  const notes: string[] = [];
  if (csv.cut === 'quote') notes.push('A quoted field has no end: all that follows it was taken for one field.');
  if (csv.cut === 'bound') notes.push(`Only the first ${MAX_FIELDS} fields are in the table.`);
  const dataset = yield* csvDataset(table);
  const hasNumbers = dataset.shape.columns.some((column) => column.type === 'number');
  return { document: null, table, dataset: hasNumbers ? dataset : null, notes };
}

function errorNote(error: JsonError): string {
  return `This looks like JSON but is not, at byte ${error.offset}: ${error.message}.`;
}

export function* open(bytes: Uint8Array, detected: Detected, name?: string): Work<Opened> {
  if (detected.kind === 'csv') return yield* openCsv(bytes, detected.delimiter);
  if (detected.kind !== 'json') return NOTHING;
  const parsed = yield* parseJson(bytes);
  if (parsed.ok) return yield* openDocument(parsed.document, []);
  const lines = yield* parseJson(bytes, true);
  if (lines.ok) return yield* openDocument(lines.document, ['One JSON value per line.']);
  const delimiter = looksLikeCsv(bytes.subarray(0, SAMPLE), bytes.length > SAMPLE, name);
  if (delimiter !== null) return yield* openCsv(bytes, delimiter);
  const furthest = parsed.error.offset >= lines.error.offset ? parsed.error : lines.error;
  return { ...NOTHING, notes: isProbablyJson(bytes) ? [errorNote(furthest)] : [] };
}

/** A text that only begins with a digit or a word needs no word on why it is not JSON. */
function isProbablyJson(bytes: Uint8Array): boolean {
  const start = new TextDecoder().decode(bytes.subarray(0, 256)).trimStart();
  return /^(?:\{\s*["}]|\[\s*[[{"\]\d-])/.test(start);
}
