// Programs and inputs as a caller names them, and the request that they become.
import { encodeBase64 } from './encoding.js';
import type { TaskRequest } from './schemas.js';

export type Language = 'python' | 'javascript' | 'ruby' | 'php' | 'wasm' | 'wat';

/** A program: its text, its bytes, or the CID of what a node has (a folder then names its script). */
export type Source =
  | { language: Language; source: string; args?: readonly string[] }
  | { language: Language; bytes: Uint8Array; args?: readonly string[] }
  | { cid: string; language: Language; script?: string; args?: readonly string[] };

/** What one run reads on its stdin: text, bytes, or content that is in the mesh already. */
export type Input = string | Uint8Array | { cid: string };

export interface RunOptions {
  /** Of one run. */
  input?: Input;
  /** The function is run once for each, instead of once. */
  inputs?: readonly Input[];
  /** Folds the results of all runs into one. */
  reduce?: Source;
  /** Micro-credits for each run. */
  fee?: number;
  verifiers?: number;
  /** What a right result is worth, in micro-credits: more verifiers for more. */
  value?: number;
  /** The share of runs that is verified, from 0 to 1. */
  sample?: number;
  /** Only the publisher and who runs or verifies a shard can read its input. */
  sealed?: boolean;
  fuel?: number;
  memoryMb?: number;
  ioMb?: number;
  gpuFlops?: number;
  bidWindowMs?: number;
  limits?: { fetchMs?: number; runMs?: number; nonceMs?: number; revealMs?: number; totalMs?: number };
  label?: string;
  signal?: AbortSignal;
}

type Body = Record<string, unknown>;

function functionOf(source: Source): Body {
  const args = source.args === undefined ? {} : { args: [...source.args] };
  const { language } = source;
  if ('cid' in source)
    return { cid: source.cid, language, ...(source.script === undefined ? {} : { script: source.script }), ...args };
  if ('bytes' in source) return { language, source_base64: encodeBase64(source.bytes), ...args };
  return { language, source: source.source, ...args };
}

function count(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && (!Number.isSafeInteger(value) || value < 0))
    throw new TypeError(`${name} must be a whole number from 0 to 2^53 - 1`);
  return value;
}

function perMille(sample: number | undefined): number | undefined {
  if (sample === undefined) return undefined;
  if (!(sample > 0 && sample <= 1)) throw new TypeError('sample must be above 0 and at most 1');
  return Math.max(1, Math.round(sample * 1000));
}

function withoutUndefined(body: Body): Body {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

function limitsOf(limits: NonNullable<RunOptions['limits']>): Body {
  return withoutUndefined({
    fetch_ms: count('limits.fetchMs', limits.fetchMs),
    run_ms: count('limits.runMs', limits.runMs),
    nonce_ms: count('limits.nonceMs', limits.nonceMs),
    reveal_ms: count('limits.revealMs', limits.revealMs),
    total_ms: count('limits.totalMs', limits.totalMs),
  });
}

/** The inputs of a task; TypeError if both or too few are given. */
export function inputsOf(options: RunOptions): { inputs: readonly Input[]; map: boolean } {
  if (options.inputs === undefined) return { inputs: options.input === undefined ? [] : [options.input], map: false };
  if (options.input !== undefined) throw new TypeError('give either input or inputs');
  if (options.inputs.length === 0) throw new TypeError('inputs is empty: the function runs once for each of them');
  return { inputs: options.inputs, map: true };
}

/** The request; `inputs` are as the API takes them: a CID, {text} or {base64}. */
export function taskRequest(source: Source, inputs: unknown[], map: boolean, options: RunOptions): TaskRequest {
  const body = withoutUndefined({
    function: functionOf(source),
    inputs,
    map,
    reduce: options.reduce === undefined ? undefined : functionOf(options.reduce),
    fee: count('fee', options.fee),
    verifiers: count('verifiers', options.verifiers),
    value: count('value', options.value),
    sample_per_mille: perMille(options.sample),
    sealed: options.sealed,
    fuel: count('fuel', options.fuel),
    memory_mb: count('memoryMb', options.memoryMb),
    io_mb: count('ioMb', options.ioMb),
    gpu_flops: count('gpuFlops', options.gpuFlops),
    bid_window_ms: count('bidWindowMs', options.bidWindowMs),
    limits: options.limits === undefined ? undefined : limitsOf(options.limits),
    label: options.label,
  });
  return body as TaskRequest;
}
