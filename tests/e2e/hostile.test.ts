// What must never do harm, tried in a real browser against a real node: results, logs and names that lie, programs that never
// end, nodes that go away, tokens that hold no more, and pages of other origins.
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Job } from '../../sdk/js/src/index.js';
import { startMesh, until, type MeshNode, type RunningMesh } from '../../sdk/js/test/mesh_nodes.js';
import { launch, visit, write } from './browser.js';

/** Markup, an ANSI escape, what turns the direction of writing, and what has no width. */
const hostile =
  '<img src=x onerror="document.title=1"><script>document.title=2</script>\u202egnp.exe\u200b\u001b[31mred';
/** Writes what it reads, byte for byte. */
const echo = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 16))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $more))))))`;
const endless = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))';
/** More than is used up while anybody waits. */
const noEnd = 2 ** 50;

let browser: Browser;
let mesh: RunningMesh;
let node: MeshNode;
let shared: string;

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'mesh-shared-'));
  await writeFile(join(shared, hostile.replaceAll('/', '_')), 'content');
  [browser, mesh] = await Promise.all([launch(), startMesh({ nodes: 1, flags: ['--share', shared] })]);
  node = mesh.nodes[0]!;
});
afterAll(async () => {
  await browser?.close();
  await mesh?.stop();
  await rm(shared, { recursive: true, force: true });
});

const link = (path: string) => `${node.url}/${path}#token=${node.token}`;

async function close(page: Page): Promise<void> {
  await page.context().close();
}

/** The result of one input of the echo, as the page of its job shows it. */
async function showEcho(input: string | Uint8Array): Promise<{ page: Page; faults: string[] }> {
  const job = await node.mesh.run({ language: 'wat', source: echo }, { input, verifiers: 0 });
  await job.wait();
  const shown = await visit(browser, link(`jobs/${job.id}`));
  await shown.page.getByRole('tab', { name: 'Result' }).click();
  await viewsOf(shown.page).waitFor();
  return shown;
}

const viewsOf = (page: Page) => page.getByRole('tablist', { name: 'Views of the result' });
const view = (page: Page, name: string) => viewsOf(page).getByRole('tab', { name }).click();

async function expectHarmless(page: Page): Promise<void> {
  expect(await page.title()).not.toMatch(/^[12]$/);
  expect(await page.locator('main img, main script').count()).toBe(0);
  expect(await page.locator('main').innerText()).not.toMatch(/[\u202e\u200b\u001b]/);
}

test('names that lie are shown for what they are', async () => {
  const job = await node.mesh.run({ language: 'wat', source: echo }, { label: hostile, verifiers: 0 });
  await job.wait();
  for (const path of ['content', 'jobs', `jobs/${job.id}`]) {
    const { page, faults } = await visit(browser, link(path));
    await page.getByText('onerror=').first().waitFor();
    await expectHarmless(page);
    expect(faults, path).toEqual([]);
    await close(page);
  }
});

test('markup and controls in the cells and keys of a result stay text', async () => {
  const { page, faults } = await showEcho(JSON.stringify([{ [hostile]: hostile }, { [hostile]: 1 }]));
  for (const one of ['JSON', 'Table', 'Graph', 'Text']) {
    if ((await viewsOf(page).getByRole('tab', { name: one }).count()) === 0) continue;
    await view(page, one);
    await page.getByRole('tabpanel').getByText('onerror=').first().waitFor({ state: 'attached' });
    await expectHarmless(page);
  }
  expect(faults).toEqual([]);
  await close(page);
});

test('an SVG is text first, and runs nothing as a picture', async () => {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="document.title=1"><script>document.title=2</script></svg>';
  const { page, faults } = await showEcho(svg);
  await page.getByRole('tabpanel').getByText('onload=').waitFor();
  await view(page, 'Picture');
  await page.getByRole('tabpanel').locator('img').waitFor();
  expect(await page.title()).not.toMatch(/^[12]$/);
  expect(faults).toEqual([]);
  await close(page);
});

test('NaN and 1e400 are named, and a graph is drawn without them', async () => {
  const { page, faults } = await showEcho(
    '[{"x":1,"y":2},{"x":2,"y":NaN},{"x":3,"y":1e400},{"x":4,"y":-Infinity},{"x":5,"y":7}]',
  );
  await page.getByText('NaN or Infinity, which standard JSON does not allow').waitFor();
  await view(page, 'JSON');
  const tree = page.getByRole('tree', { name: 'JSON' });
  await tree.waitFor();
  await view(page, 'Table');
  const table = page.getByRole('tabpanel');
  for (const text of ['NaN', '1e400', '-Infinity']) await table.getByText(text, { exact: true }).waitFor();
  await view(page, 'Graph');
  const graph = page.getByRole('application', { name: /5 rows/ });
  await graph.waitFor();
  expect(await graph.innerHTML()).not.toMatch(/="[^"]*(?:NaN|Infinity)/);
  expect(faults).toEqual([]);
  await close(page);
});

test('rows of different lengths are counted and stay what they are', async () => {
  const rows = [...Array(20).keys()].map((i) => `${i},${i + 1},${i + 2}`);
  rows.splice(5, 0, '4,5', '6,7,8,9,10');
  for (const [text, name] of [
    [['a,b,c', ...rows].join('\n'), 'ragged: 2 of them'],
    ['[[1,2,3],[4,5],[6,7,8,9,10],[11,12,13]]', 'ragged: 2 of them'],
    ['[{"a":1,"b":2},{"a":3},{"b":4,"c":10}]', '3 rows, 3 columns'],
  ] as const) {
    const { page, faults } = await showEcho(text);
    await view(page, 'Table');
    await page.getByText(name).waitFor();
    await page.getByRole('cell', { name: '10', exact: true }).first().waitFor();
    expect(faults, text).toEqual([]);
    await close(page);
  }
});

test('bytes that are no UTF-8 are counted, and all of them can be seen and saved', async () => {
  const bytes = new Uint8Array([...Buffer.from('a line of text\n'.repeat(20)), 0xff, 0xfe, 0xc3, 0x28, 0x0a]);
  const { page, faults } = await showEcho(bytes);
  await view(page, 'Text');
  await page.getByText(/bytes are not valid UTF-8/).waitFor();
  await view(page, 'Bytes');
  await page.getByText('ff fe c3 28').waitFor();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download' }).click(),
  ]);
  expect((await stat(await download.path())).size).toBe(bytes.length);
  expect(faults).toEqual([]);
  await close(page);
});

/** A job whose result is a JSON list of so many times 100,000 numbers of six digits: 700 kB each time. */
async function manyNumbers(times: number): Promise<Job> {
  const source = `import sys
numbers = ",".join(str(i) for i in range(100000, 200000))
sys.stdout.write("[" + numbers)
for _ in range(${times - 1}):
    sys.stdout.write("," + numbers)
sys.stdout.write("]")
`;
  const job = await node.mesh.run({ language: 'python', source }, { verifiers: 0, ioMb: 256 });
  expect((await job.wait()).failed_outcomes).toBe(0);
  return job;
}

test('a result of 100 MB is shown in part, holds nothing up, and is saved whole', async () => {
  const size = 150 * 700_000 + 1;
  const job = await manyNumbers(150);
  const { page, faults } = await visit(browser, link(`jobs/${job.id}`));
  await page.getByRole('tab', { name: 'Result' }).click();
  await page.getByText('100 MiB').waitFor();
  // It is being read: whoever does not want to wait goes elsewhere meanwhile.
  await page.getByRole('tab', { name: 'Log' }).click();
  await page.getByText('nothing to stderr').waitFor();
  await page.getByRole('tab', { name: 'Result' }).click();
  await viewsOf(page).waitFor();
  await view(page, 'Text');
  await page.getByText(/The first .* of 100 MiB are shown/).waitFor();
  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(5000);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download' }).click(),
  ]);
  expect((await stat(await download.path())).size).toBe(size);
  await page.getByRole('link', { name: 'Peers' }).click();
  await page.getByRole('heading', { level: 1, name: 'Peers' }).waitFor();
  expect(faults).toEqual([]);
  await close(page);
});

test('a result that is too large for a page is not read, and the page says what reads it', async () => {
  const job = await manyNumbers(200);
  const { page, faults } = await visit(browser, link(`jobs/${job.id}`));
  await page.getByRole('tab', { name: 'Result' }).click();
  await page.getByText('The result is larger than 128 MiB: save it with the command line.').waitFor();
  await page.getByText(`mesh job get ${job.id.slice(0, 8)}`).waitFor();
  expect(faults).toEqual([]);
  await close(page);
});

test('a program that never ends ends by its fuel, and the page says so where it was written', async () => {
  const { page, faults } = await visit(browser, link('submit'));
  await page.getByRole('tab', { name: 'Python' }).click();
  await page.locator('.monaco-editor .view-line').first().waitFor();
  await write(page, 'x = 0\nwhile True:\n    x += 1\n');
  await page.getByLabel('Fuel').fill('2000000000');
  await page.getByLabel('Verifiers').fill('0');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('alert').getByText('out of fuel').waitFor({ timeout: 60_000 });
  // It goes on being an editor, and the next program runs.
  await write(page, 'print(6 * 7)\n');
  await page.getByText('out of fuel').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('status').getByText('done', { exact: true }).waitFor({ timeout: 60_000 });
  expect(faults).toEqual([]);
  await close(page);
});

test('a node that is killed in mid-job is missed and found again, and the job can still be stopped', async () => {
  const job = await node.mesh.run(
    { language: 'wat', source: endless },
    { verifiers: 0, fuel: noEnd, label: 'without end' },
  );
  const { page, faults } = await visit(browser, link(`jobs/${job.id}`));
  await page.locator('h1 ~ *, main').getByText('running', { exact: true }).first().waitFor();
  await node.kill();
  await page.getByText('The node does not answer.').waitFor();
  await page.getByText('without end').waitFor();
  await node.restart();
  await page.getByText('The node was started again').waitFor({ timeout: 60_000 });
  await page.getByText('The node does not answer.').waitFor({ state: 'detached' });
  expect((await node.mesh.job(job.id).status()).ended).toBe(false);
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('stopped', { exact: true }).first().waitFor();
  expect((await node.mesh.job(job.id).status()).phase).toBe('stopped');
  expect(faults).toEqual([]);
  await close(page);
});

test('who holds a token that was revoked is told so, and how to come in again', async () => {
  const { page, faults } = await visit(browser, link('jobs'));
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  const old = node.token;
  // A node makes itself another token where it finds none.
  await rm(join(node.home, 'api.token'));
  await node.restart();
  expect(node.token).not.toBe(old);
  await page.getByRole('heading', { level: 1, name: 'The node does not take this token' }).waitFor({ timeout: 60_000 });
  await page.getByText('no longer').waitFor();
  await page.getByText('mesh up').first().waitFor();
  expect(await page.evaluate(() => JSON.stringify({ ...sessionStorage }))).not.toContain(old);
  await page.getByRole('textbox').fill(node.link());
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  await until('the node knows its jobs', async () => (await node.mesh.api.GET('/api/v1/node')).data?.ready);
  expect(faults).toEqual([]);
  await close(page);
});

/** A page of another origin: another port is enough. */
async function elsewhere(html: string): Promise<{ server: Server; url: string }> {
  const server = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(html));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

test('no page of another origin can frame the dashboard or ask the node, even with the token', async () => {
  const { server, url } = await elsewhere('<!doctype html><title>Elsewhere</title><body>');
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  const framed = await page.evaluate(async (target) => {
    const frame = document.createElement('iframe');
    frame.src = target;
    const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
    document.body.append(frame);
    await loaded;
    return frame.contentDocument === null;
  }, link('jobs'));
  expect(framed).toBe(true);
  const [, inside] = page.frames();
  expect(inside?.url()).toMatch(/^chrome-error:/);
  expect(await inside?.content()).not.toContain('Meshwork');

  const asked = await page.evaluate(
    async ({ base, token }) => {
      const answer = (path: string, init: RequestInit) =>
        fetch(base + path, init).then(
          (response) => `${response.type} ${response.status}`,
          () => 'refused',
        );
      const headers = { Authorization: `Bearer ${token}` };
      const socket = await new Promise((resolve) => {
        const made = new WebSocket(`${base.replace('http', 'ws')}/api/v1/events`, [
          'meshwork.v1',
          `meshwork.token.${token}`,
        ]);
        made.onopen = () => resolve('open');
        made.onerror = () => resolve('refused');
      });
      return {
        read: await answer('/api/v1/node', { headers }),
        stop: await answer('/api/v1/tasks', { method: 'POST', headers, body: '{}' }),
        socket,
      };
    },
    { base: node.url, token: node.token },
  );
  expect(asked).toEqual({ read: 'refused', stop: 'refused', socket: 'refused' });
  await context.close();
  await new Promise((resolve) => server.close(resolve));

  // The same link by itself opens, so that it is the framing that was refused.
  const { page: alone } = await visit(browser, link('jobs'));
  await alone.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  await close(alone);
});
