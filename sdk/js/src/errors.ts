// What can go wrong between this client and a node. Whatever this package throws is a MeshError, the reason of the
// caller's own AbortSignal, or a TypeError for an argument that no node could take.
//
// Texts come from the node and, through it, from peers: show them as text, never as markup.
import type { Problem } from './schemas.js';

export type ErrorKind =
  | 'invalid'
  | 'unauthorized'
  | 'denied'
  | 'not-found'
  | 'conflict'
  | 'too-large'
  | 'busy'
  | 'unavailable'
  | 'timeout'
  | 'not-supported'
  | 'internal'
  | 'unreachable'
  | 'bad-answer'
  | 'job-failed';

const KIND_OF_STATUS: Readonly<Record<number, ErrorKind>> = {
  401: 'unauthorized',
  403: 'denied',
  404: 'not-found',
  408: 'timeout',
  409: 'conflict',
  413: 'too-large',
  429: 'busy',
  501: 'not-supported',
  503: 'unavailable',
  504: 'timeout',
  507: 'unavailable',
};

function kindOfStatus(status: number): ErrorKind {
  return KIND_OF_STATUS[status] ?? (status >= 500 ? 'internal' : 'invalid');
}

export interface ErrorFacts {
  kind: ErrorKind;
  status?: number;
  title: string;
  detail: string;
  code?: string | undefined;
  candidates?: readonly string[] | undefined;
  cause?: unknown;
}

/** An error that a node answered, or that its answer is. `status` is 0 where there was no answer. */
export class MeshError extends Error {
  readonly kind: ErrorKind;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** The ledger's stable name of a refusal. */
  readonly code?: string;
  /** Ids that an ambiguous one may have meant. */
  readonly candidates?: readonly string[];

  constructor(facts: ErrorFacts) {
    super(facts.detail || facts.title, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.kind = facts.kind;
    this.status = facts.status ?? 0;
    this.title = facts.title;
    this.detail = facts.detail;
    if (facts.code !== undefined) this.code = facts.code;
    if (facts.candidates !== undefined) this.candidates = facts.candidates;
  }
}

/** The node cannot be reached, or went away in the middle of an answer. */
export class NodeUnreachable extends MeshError {
  constructor(detail: string, cause?: unknown) {
    super({ kind: 'unreachable', title: 'Node unreachable', detail, cause });
  }
}

/** The token is missing or not the node's. */
export class Unauthorized extends MeshError {}

/** What answered is no node, or its answer is damaged or larger than what is taken. */
export class BadAnswer extends MeshError {
  constructor(detail: string, status = 0, cause?: unknown) {
    super({ kind: 'bad-answer', status, title: 'Bad answer', detail, cause });
  }
}

function text(value: unknown, limit = 4096): string | undefined {
  return typeof value === 'string' ? value.slice(0, limit) : undefined;
}

function candidatesOf(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.slice(0, 32).flatMap((item) => text(item, 128) ?? []);
}

/** The error of an answer with a status from 400 on; `body` is what was in it, JSON or not. */
export function errorOfAnswer(status: number, statusText: string, body: unknown): MeshError {
  const problem: Partial<Record<keyof Problem, unknown>> = typeof body === 'object' && body !== null ? body : {};
  const title = text(problem.title) ?? (statusText || `HTTP status ${status}`);
  const facts: ErrorFacts = {
    kind: kindOfStatus(status),
    status,
    title,
    detail: text(problem.detail) ?? title,
    code: text(problem.code, 64),
    candidates: candidatesOf(problem.candidates),
  };
  return status === 401 ? new Unauthorized(facts) : new MeshError(facts);
}
