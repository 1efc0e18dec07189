// What a person has typed into the Submit page: kept over a reload, checked before it is sent, and made into a request.
//
// Storage is this browser's and may hold anything: a draft that does not read is the default one. Bounds: maxSource and
// maxInputs; files are not kept, since a browser gives them anew with each choice.
import type { TaskRequest } from '../data/model';
import { cidIn } from '../lib/cid';
import { mesh } from '../lib/commands';
import { parseCredits } from '../lib/format';
import { templates } from './templates';

export const languages = ['python', 'javascript', 'wat', 'wasm'] as const;
export type Language = (typeof languages)[number];
export const inputKinds = ['none', 'text', 'json', 'files', 'cids'] as const;
export type InputKind = (typeof inputKinds)[number];

export interface Draft {
  readonly source: string;
  readonly args: string;
  readonly inputKind: InputKind;
  readonly input: string;
  readonly map: boolean;
  /** A program that folds the results of all runs into one; empty: none. */
  readonly reduce: string;
  readonly label: string;
  readonly fee: string;
  readonly verifiers: string;
  readonly sample: string;
  readonly fuel: string;
  readonly memory: string;
  readonly runSeconds: string;
  readonly sealed: boolean;
}

const maxSource = 1 << 20;
const maxInputs = 100_000;
const maxFuel = Number.MAX_SAFE_INTEGER;

export function newDraft(language: Language): Draft {
  const template = language === 'wasm' ? undefined : templates[language][0];
  return {
    source: template?.source ?? '',
    args: '',
    inputKind: template?.inputKind ?? 'none',
    input: template?.input ?? '',
    map: template?.map ?? false,
    reduce: '',
    label: '',
    fee: '',
    verifiers: '',
    sample: '',
    fuel: '',
    memory: '',
    runSeconds: '',
    sealed: false,
  };
}

const keyOf = (language: Language) => `meshwork.draft.${language}`;

export function loadDraft(language: Language): Draft {
  const fresh = newDraft(language);
  const text = localStorage.getItem(keyOf(language));
  if (text === null) return fresh;
  try {
    const kept: unknown = JSON.parse(text);
    if (typeof kept !== 'object' || kept === null) return fresh;
    const entries = Object.entries(fresh).map(([name, value]) => {
      const found = (kept as Record<string, unknown>)[name];
      return [name, typeof found === typeof value ? found : value];
    });
    const draft = Object.fromEntries(entries) as Draft;
    return inputKinds.includes(draft.inputKind) ? draft : { ...draft, inputKind: 'none' };
  } catch {
    return fresh;
  }
}

/** False where the browser has no room for it. */
export function saveDraft(language: Language, draft: Draft): boolean {
  try {
    localStorage.setItem(keyOf(language), JSON.stringify(draft));
    return true;
  } catch {
    return false;
  }
}

export type Problems = Partial<Record<keyof Draft | 'files' | 'module', string>>;

function whole(text: string, most: number, what: string, least = 0): { value?: number; error?: string } {
  if (text.trim() === '') return {};
  const value = Number(text.trim());
  if (!/^\d{1,16}$/.test(text.trim()) || value > most || value < least)
    return { error: `${what} is a whole number from ${least} to ${most}.` };
  return { value };
}

/** The words of a command line: blanks part them, quotes keep blanks. */
export function wordsOf(text: string): string[] {
  const words = text.match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
  return words.map((word) => (/^(["']).*\1$/s.test(word) ? word.slice(1, -1) : word));
}

function jsonInputs(draft: Draft): { inputs: string[]; error?: string } {
  let value: unknown;
  try {
    value = JSON.parse(draft.input);
  } catch (error) {
    return { inputs: [], error: `This is not JSON: ${error instanceof Error ? error.message : 'it does not parse'}` };
  }
  if (!draft.map) return { inputs: [draft.input] };
  if (!Array.isArray(value) || value.length === 0)
    return { inputs: [], error: 'To run once for each element, give a list with at least one.' };
  return { inputs: value.map((item) => JSON.stringify(item)) };
}

/** The inputs as the API takes them; `files` are CIDs of what was uploaded. */
export function inputsOf(draft: Draft, files: readonly string[] = []): { inputs: unknown[]; error?: string } {
  const lines = draft.input.split('\n').filter((line) => line.trim() !== '');
  let found: { inputs: unknown[]; error?: string };
  switch (draft.inputKind) {
    case 'none':
      found = { inputs: [] };
      break;
    case 'text':
      found = { inputs: (draft.map ? lines : [draft.input]).map((text) => ({ text })) };
      break;
    case 'json': {
      const json = jsonInputs(draft);
      found = { ...json, inputs: json.inputs.map((text) => ({ text })) };
      break;
    }
    case 'files':
      found = { inputs: [...files] };
      break;
    case 'cids': {
      const bad = lines.find((line) => cidIn(line) === undefined);
      found =
        bad === undefined
          ? { inputs: lines.map(cidIn) }
          : { inputs: [], error: `This is not a CID: ${bad.slice(0, 60)}` };
    }
  }
  if (found.error !== undefined) return found;
  if (draft.map && found.inputs.length === 0)
    return { inputs: [], error: 'To run once for each input, give at least one.' };
  if (!draft.map && found.inputs.length > 1)
    return { inputs: [], error: 'These are several inputs: run the function once for each of them.' };
  if (found.inputs.length > maxInputs) return { inputs: [], error: `At most ${maxInputs} inputs.` };
  return found;
}

/** What keeps a draft from being sent; empty: nothing. `fileCount` is how many files are chosen. */
export function problemsOf(language: Language, draft: Draft, fileCount: number, hasModule: boolean): Problems {
  const problems: Problems = {};
  if (language === 'wasm' && !hasModule) problems.module = 'Choose a .wasm file.';
  if (language !== 'wasm' && draft.source.trim() === '') problems.source = 'There is no program yet.';
  if (draft.source.length > maxSource) problems.source = 'A program in the editor has at most a million characters.';
  if (draft.reduce.length > maxSource) problems.reduce = 'A program has at most a million characters.';
  const { error } = inputsOf(
    draft,
    Array.from({ length: fileCount }, () => 'b'),
  );
  if (error !== undefined) problems[draft.inputKind === 'files' ? 'files' : 'input'] = error;
  const numbers = [
    ['verifiers', whole(draft.verifiers, 63, 'The number of verifiers')],
    ['fuel', whole(draft.fuel, maxFuel, 'Fuel', 1)],
    ['memory', whole(draft.memory, 4096, 'Memory in MiB', 1)],
    ['runSeconds', whole(draft.runSeconds, 4_000_000, 'The time to run', 1)],
  ] as const;
  for (const [name, read] of numbers) if (read.error !== undefined) problems[name] = read.error;
  const fee = draft.fee.trim();
  if (fee !== '' && fee !== '0') {
    const read = parseCredits(fee);
    if ('error' in read) problems.fee = read.error;
    else if (Number(read.micros) > Number.MAX_SAFE_INTEGER) problems.fee = 'No fee is that high.';
  }
  const sample = draft.sample.trim();
  if (sample !== '' && !(Number(sample) >= 0.1 && Number(sample) <= 100))
    problems.sample = 'The share that is verified is from 0.1 to 100 per cent.';
  if (new TextEncoder().encode(draft.label).length > 128) problems.label = 'A label has at most 128 bytes.';
  return problems;
}

/** A fold needs several results, and a source that says what it is. */
export function canReduce(language: Language, draft: Draft): boolean {
  return draft.map && language !== 'wasm';
}
function hasReduce(language: Language, draft: Draft): boolean {
  return canReduce(language, draft) && draft.reduce.trim() !== '';
}

export type FunctionPart = { source: string } | { source_base64: string };

/** A draft without problems as the API takes it. */
export function requestOf(language: Language, draft: Draft, part: FunctionPart, inputs: unknown[]): TaskRequest {
  const fee = parseCredits(draft.fee);
  const number = (name: string, text: string) => (text.trim() === '' ? {} : { [name]: Number(text.trim()) });
  const args = wordsOf(draft.args);
  return {
    function: { language, ...part, ...(args.length > 0 ? { args } : {}) },
    inputs,
    map: draft.map,
    ...(hasReduce(language, draft) ? { reduce: { language, source: draft.reduce } } : {}),
    ...(draft.label.trim() === '' ? {} : { label: draft.label.trim() }),
    ...('micros' in fee ? { fee: Number(fee.micros) } : {}),
    ...number('verifiers', draft.verifiers),
    ...(draft.sample.trim() === '' ? {} : { sample_per_mille: Math.max(1, Math.round(Number(draft.sample) * 10)) }),
    ...number('fuel', draft.fuel),
    ...number('memory_mb', draft.memory),
    ...(draft.runSeconds.trim() === '' ? {} : { limits: { run_ms: Number(draft.runSeconds) * 1000 } }),
    ...(draft.sealed ? { sealed: true } : {}),
  } as TaskRequest;
}

const extensions: Readonly<Record<Language, string>> = { python: 'py', javascript: 'js', wat: 'wat', wasm: 'wasm' };

function fileNameOf(stem: string, language: Language): string {
  return `${stem}.${extensions[language]}`;
}

/** The command line that does the same with the program in a file. */
export function commandOf(language: Language, draft: Draft, fileNames: readonly string[]): string {
  const fee = parseCredits(draft.fee);
  const inputs: string[] =
    draft.inputKind === 'none'
      ? []
      : draft.inputKind === 'files'
        ? fileNames.slice(0, 20).flatMap((name) => ['-i', name])
        : draft.inputKind === 'cids'
          ? draft.input
              .split('\n')
              .filter((one) => one.trim() !== '')
              .slice(0, 20)
              .flatMap((one) => ['-i', `cid:${one.trim().replace(/^cid:/, '')}`])
          : ['-i', draft.inputKind === 'json' ? (draft.map ? 'input.jsonl' : 'input.json') : 'input.txt'];
  const option = (name: string, text: string) => (text.trim() === '' ? [] : [name, text.trim()]);
  const args = wordsOf(draft.args);
  return mesh(
    'run',
    fileNameOf('main', language),
    ...inputs,
    draft.map && '--map',
    ...(hasReduce(language, draft) ? ['--reduce', fileNameOf('reduce', language)] : []),
    draft.sealed && '--sealed',
    ...option('--label', draft.label),
    ...('micros' in fee ? ['--fee', fee.micros] : []),
    ...option('--verifiers', draft.verifiers),
    ...(draft.sample.trim() === '' ? [] : ['--sample', String(Number(draft.sample) / 100)]),
    ...option('--fuel', draft.fuel),
    ...option('--memory', draft.memory),
    ...(draft.runSeconds.trim() === '' ? [] : ['--timeout', `run=${draft.runSeconds.trim()}`]),
    ...(args.length > 0 ? ['--', ...args] : []),
  );
}
