// The independent check of proof bundles against the node's own, on bundles that real nodes made.
//
// MESH_JS_FIXTURES names a folder to which the bundles are written, too: so test/fixtures was made.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unwrap, type Job, type Mesh, type RunOptions, type Source } from '../src/index.js';
import { verifyBundle, type Report } from '../src/verify/index.js';
import { meshProgram, startMesh, until, type RunningMesh } from './mesh_nodes.js';

const program = meshProgram();
const COLLATZ = new URL('../../../examples/collatz/collatz.wasm', import.meta.url);

interface Told {
  id: string;
  publisher: string;
  federation: string;
  shards_total: number;
  missing: number;
  shards: {
    shard: number;
    decision: string;
    worker: string;
    result: string;
    fuel: number;
    seats: { peer: string; agreed: boolean }[];
    same_owner: boolean;
    self_executed: boolean;
    rejected_attempts: number;
  }[];
  payment: null | Record<string, unknown>;
}

/** What `mesh receipt verify` says of a bundle; none if it refuses it. */
async function told(folder: string, bytes: Uint8Array): Promise<Told | undefined> {
  const file = join(folder, 'bundle.car');
  await writeFile(file, bytes);
  try {
    const args = ['--home', join(folder, 'nobody'), 'receipt', 'verify', file, '--json'];
    const { stdout } = await promisify(execFile)(program ?? '', args, { maxBuffer: 64 * 2 ** 20 });
    return JSON.parse(stdout) as Told;
  } catch (error) {
    const { code, stdout } = error as { code?: number; stdout?: string };
    if (code === 6) return undefined;
    if (stdout) return JSON.parse(stdout) as Told;
    throw error;
  }
}

function sameAs(report: Report): Partial<Told> {
  const { job } = report;
  return {
    ...(job && {
      id: job.id,
      publisher: job.publisher,
      federation: job.federation,
      shards_total: job.shards,
      missing: job.missing,
    }),
    shards: report.shards.map((one) => ({
      shard: one.shard,
      decision: one.decision,
      worker: one.worker,
      result: one.result,
      fuel: Number(one.fuel),
      seats: one.verifiers,
      same_owner: one.sameOwner,
      self_executed: one.selfExecuted,
      rejected_attempts: one.rejectedAttempts,
    })),
  };
}

async function expectAgreement(folder: string, bytes: Uint8Array, name: string): Promise<Report> {
  const report = await verifyBundle(bytes);
  const theirs = await told(folder, bytes);
  expect(report.statements.filter((one) => one.holds === false)).toEqual([]);
  expect(report.holds).toBe(true);
  expect(theirs).toMatchObject(sameAs(report));
  const fixtures = process.env['MESH_JS_FIXTURES'];
  if (fixtures !== undefined) await writeFile(join(fixtures, `${name}.car`), bytes);
  return report;
}

async function runAll(mesh: Mesh, count: number, options: RunOptions): Promise<Job> {
  const source: Source = { language: 'wasm', bytes: await readFile(COLLATZ) };
  const inputs = Array.from({ length: count }, (_, i) => `${i + 1} ${i + 100}`);
  const job = await mesh.run(source, { ...options, inputs });
  const view = await job.wait();
  expect(view).toMatchObject({ phase: 'done' });
  return job;
}

describe.skipIf(program === undefined)('bundles of nodes without a ledger', () => {
  let nodes: RunningMesh;
  beforeAll(async () => {
    nodes = await startMesh({ nodes: 5 });
  });
  afterAll(() => nodes?.stop());

  it('are checked alike: verified shards', async () => {
    const job = await runAll(nodes.first.mesh, 6, { verifiers: 3 });
    const report = await expectAgreement(nodes.folder, await job.receipts(), 'verified');
    expect(report.shards.map((shard) => [shard.decision, shard.verifiers.length])).toEqual(
      Array.from({ length: 6 }, () => ['accepted', 3]),
    );
    const alone = await expectAgreement(nodes.folder, await job.receipts({ shard: 2 }), 'one-shard');
    expect(alone.shards.some((shard) => shard.shard === 2)).toBe(true);
  });
  it('are checked alike: a sample', async () => {
    const job = await runAll(nodes.first.mesh, 24, { verifiers: 3, sample: 0.25 });
    const report = await expectAgreement(nodes.folder, await job.receipts(), 'sampled');
    expect(report.shards.some((shard) => shard.decision === 'spot_checked')).toBe(true);
  });
  it('are checked alike: nobody verified', async () => {
    const job = await runAll(nodes.first.mesh, 3, { verifiers: 0 });
    const report = await expectAgreement(nodes.folder, await job.receipts(), 'unverified');
    expect(new Set(report.shards.map((shard) => shard.decision))).toEqual(new Set(['unverified']));
  });
});

describe.skipIf(program === undefined)('bundles of a federation that pays', () => {
  let nodes: RunningMesh;
  beforeAll(async () => {
    nodes = await startMesh({
      nodes: 6,
      federation: { gift: 10_000_000, bond: 5_000_000, flags: ['--dispute-window', '2'] },
      flags: ['--slots', '1'],
    });
  });
  afterAll(() => nodes?.stop());

  it('are checked alike while the escrow is held and after it ended', async () => {
    const job = await runAll(nodes.first.mesh, 4, { verifiers: 3, fee: 100_000 });
    const early = await until('the ledger shows what was decided', async () => {
      try {
        return await job.receipts();
      } catch {
        return undefined;
      }
    });
    await expectAgreement(nodes.folder, early, 'paid-early');
    await until('the escrow ended', async () => (await job.status()).escrow?.state === 'ended', 120_000);
    const bytes = await job.receipts();
    const report = await expectAgreement(nodes.folder, bytes, 'paid');
    const theirs = await told(nodes.folder, bytes);
    const { payment } = report;
    expect(theirs?.payment).toMatchObject({
      locked: String(payment?.locked),
      held: String(payment?.held),
      to_workers: String(payment?.worker),
      to_verifiers: String(payment?.verifiers),
      to_treasury: String(payment?.treasury),
      refunded: String(payment?.refunded),
      complete: payment?.complete,
    });
    const view = await unwrap(nodes.first.mesh.api.GET('/api/v1/tasks/{id}', { params: { path: { id: job.id } } }));
    expect(payment?.refunded.toString()).toBe(view.escrow?.refunded);
    await expectAgreement(nodes.folder, await job.receipts({ shard: 1 }), 'paid-one-shard');
  });
});
