// Uploads that are larger than what the node has room for, or takes at once: two gigabytes from the page, half of one from the
// client. Nothing that was there is lost, nothing half stays behind under another name, and the node goes on.
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MeshError } from '../../sdk/js/src/index.js';
import { hasOwnDisks, startMesh, type MeshNode, type RunningMesh } from '../../sdk/js/test/mesh_nodes.js';
import { launch, visit } from './browser.js';

const size = 2 * 2 ** 30;
const piece = 2 ** 16;

let browser: Browser;
let folder: string;
let file: string;

beforeAll(async () => {
  [browser, folder] = await Promise.all([launch(), mkdtemp(join(tmpdir(), 'mesh-upload-'))]);
  file = join(folder, 'large.bin');
  // No two pieces are equal, so that none is kept once for many; between them the file has holes and takes little room here.
  const handle = await open(file, 'w');
  await handle.truncate(size);
  for (let at = 0; at < size; at += piece)
    await handle.write(Buffer.from([1 + (at >>> 24), at >>> 16, at >>> 8]), 0, 3, at);
  await handle.close();
});
afterAll(async () => {
  await browser?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Has the Submit page run its template over the large file; what the page then says. */
async function submit(page: Page): Promise<string> {
  await page.getByLabel('The function reads').selectOption('files');
  await page.getByLabel('Files', { exact: true }).setInputFiles(file);
  const run = page.getByRole('button', { name: 'Run', exact: true });
  await run.click();
  const said = page.getByRole('log', { name: 'Messages' }).getByText('large.bin');
  await said.waitFor({ timeout: 90_000 });
  // It can be tried again, and nothing that was typed is gone.
  await run.and(page.locator(':enabled')).waitFor();
  expect(await page.getByLabel('The function reads').inputValue()).toBe('files');
  return said.innerText();
}

async function expectWorks(node: MeshNode): Promise<void> {
  const job = await node.mesh.run(
    { language: 'wat', source: '(module (memory (export "memory") 1) (func (export "_start")))' },
    { verifiers: 0 },
  );
  expect((await job.wait()).phase).toBe('done');
}

describe.skipIf(!hasOwnDisks())('a full disk', () => {
  let mesh: RunningMesh;
  let node: MeshNode;
  beforeAll(async () => {
    mesh = await startMesh({ nodes: 1, diskMib: 128, flags: ['--max-body', '4096'] });
    node = mesh.nodes[0]!;
  });
  afterAll(() => mesh?.stop());

  test('refuses an upload from the page and from the client, loses nothing, and goes on once there is room', async () => {
    const kept = new TextEncoder().encode('what was there before');
    const cid = await node.mesh.upload(kept);
    await expectWorks(node);
    const jobs = async () => (await node.mesh.api.GET('/api/v1/tasks')).data?.length;
    const before = await jobs();

    const { page, faults } = await visit(browser, `${node.url}/submit#token=${node.token}`);
    expect(await submit(page)).toMatch(/^large\.bin \(2\.0 GiB\) was not taken: .*No space left on device/);
    expect(await jobs()).toBe(before);

    const bytes = new Uint8Array(size / 4);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += piece) view.setUint32(at, at + 1);
    const refusal = await node.mesh.upload(bytes).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(MeshError);
    expect(refusal).toMatchObject({ status: 507, kind: 'unavailable' });
    expect(String(refusal)).toContain('No space left on device');

    expect(await readdir(join(node.files, 'blocks/tmp'))).toEqual([]);
    await node.enlargeDisk(512);
    await expectWorks(node);
    const { data } = await node.mesh.api.GET('/api/v1/assets/{cid}', {
      params: { path: { cid } },
      parseAs: 'arrayBuffer',
    });
    expect(new Uint8Array(data as unknown as ArrayBuffer)).toEqual(kept);
    await page.getByRole('link', { name: 'Jobs' }).click();
    await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });
});

test('an upload that is larger than what a node takes at once is refused by its size, and a file that is gone by its name', async () => {
  const mesh = await startMesh({ nodes: 1 });
  try {
    const node = mesh.nodes[0]!;
    const { page, faults } = await visit(browser, `${node.url}/submit#token=${node.token}`);
    expect(await submit(page)).toMatch(
      /^large\.bin \(2\.0 GiB\) was not taken: .*at most 67108864 bytes; the command line/,
    );
    await rm(file);
    await page.getByRole('button', { name: 'Dismiss' }).click();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText('the file has changed or gone').waitFor();
    const refusal = await node.mesh.upload(new Uint8Array(size / 4)).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ status: 413, kind: 'too-large' });
    await expectWorks(node);
    expect(faults).toEqual([]);
    await page.context().close();
  } finally {
    await mesh.stop();
  }
});
