// What a person does with the dashboard, in a real browser against a mesh of five real nodes.
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMesh, type RunningMesh } from '../../sdk/js/test/mesh_nodes.js';
import { accessibilityFaults, launch, visit } from './browser.js';

const pages = ['submit', 'jobs', 'map', 'content', 'wallet', 'ledger', 'peers', 'activity', 'settings'];

let browser: Browser;
let mesh: RunningMesh;

beforeAll(async () => {
  [browser, mesh] = await Promise.all([launch(), startMesh({ nodes: 5 })]);
});
afterAll(async () => {
  await browser.close();
  await mesh.stop();
});

const link = (path: string) => mesh.first.link(path);

for (const scheme of ['light', 'dark'] as const) {
  test(`every page is open to everybody (${scheme})`, async () => {
    for (const path of pages) {
      const { page, faults } = await visit(browser, link(path), { colorScheme: scheme });
      await page.getByRole('heading', { level: 1 }).first().waitFor();
      await page.waitForLoadState('networkidle');
      expect(await accessibilityFaults(page), path).toEqual([]);
      expect(faults, path).toEqual([]);
      await page.context().close();
    }
  });
}

test('the token leaves the address bar and outlives a reload', async () => {
  const { page, faults } = await visit(browser, link('jobs'));
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  expect(page.url()).not.toContain('token');
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  expect(faults).toEqual([]);
  await page.context().close();
});

const squares = `import json
print(json.dumps([{"x": x, "square": x * x} for x in range(40)]))
`;

/** Puts this into the page's editor in place of what is there, as a person pastes it. */
async function write(page: Page, source: string): Promise<void> {
  await page.locator('.monaco-editor').first().click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(source);
}

test('a Python function is written, run by five nodes, looked at as JSON and as a graph, and its proof checked here', async () => {
  const { page, faults } = await visit(browser, link('submit'));
  await page.getByRole('tab', { name: 'Python' }).click();
  await write(page, squares);
  await page.getByLabel('Verifiers').fill('3');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.locator('form a[href^="/jobs/"]').first().click();
  await page.getByRole('button', { name: 'Proof' }).and(page.locator(':enabled')).waitFor({ timeout: 90_000 });

  await page.getByRole('tab', { name: 'Result' }).click();
  const views = page.getByRole('tablist', { name: 'Views of the result' });
  await views.waitFor();
  await views.getByRole('tab', { name: 'JSON' }).click();
  expect(await page.getByRole('tree', { name: 'JSON' }).innerText()).toContain('square');
  await views.getByRole('tab', { name: 'Graph' }).click();
  const graph = page.getByRole('application', { name: /40 rows/ });
  await graph.waitFor();
  expect(await graph.getAttribute('aria-label')).toContain('1,521');
  const saving = page.waitForEvent('download');
  await page.getByRole('button', { name: 'SVG', exact: true }).click();
  const drawing = await readFile(await (await saving).path(), 'utf8');
  expect(drawing).toMatch(/ fill="rgb\(\d+, \d+, \d+\)"/);
  expect(drawing).not.toMatch(/var\(|light-dark/);

  const id = new URL(page.url()).pathname.split('/').pop() ?? '';
  const [job, shards] = await Promise.all([
    mesh.first.mesh.job(id).status(),
    mesh.first.mesh.api.GET('/api/v1/tasks/{id}/shards', { params: { path: { id } } }),
  ]);
  expect(job.phase).toBe('done');
  expect(job.unverified).toBe(false);
  expect(shards.data?.[0]?.seats).toHaveLength(3);

  await page.getByRole('button', { name: 'Proof' }).click();
  await page.getByRole('button', { name: 'Verify here' }).click();
  await page.getByText('Everything that was checked holds.').waitFor();
  expect(faults).toEqual([]);
  await page.context().close();
});

test('two browsers see the same job go on, and a node that comes back is found again', async () => {
  const node = mesh.first;
  const [first, second] = await Promise.all([visit(browser, link('jobs')), visit(browser, link('jobs'))]);
  const made = await node.mesh.run(
    { language: 'wat', source: '(module (memory (export "memory") 1) (func (export "_start")))' },
    { label: 'seen by both' },
  );
  for (const { page } of [first, second]) await page.getByText('seen by both').first().waitFor();
  await made.wait();
  await node.restart();
  const again = await node.mesh.run(
    { language: 'wat', source: '(module (memory (export "memory") 1) (func (export "_start")) )' },
    { label: 'after the restart' },
  );
  for (const { page, faults } of [first, second]) {
    await page.getByText('after the restart').first().waitFor({ timeout: 60_000 });
    expect(faults).toEqual([]);
    await page.context().close();
  }
  await again.wait();
});

test('a wrong token leads to the page that says how to get the right one', async () => {
  const node = mesh.first;
  const { page, faults } = await visit(browser, `${node.url}/jobs#token=${'x'.repeat(32)}`);
  await page.getByText('mesh up').first().waitFor();
  await page.getByRole('textbox').fill(node.link());
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  expect(faults).toEqual([]);
  await page.context().close();
});

test('what a guest writes is text and nothing else', async () => {
  const node = mesh.first;
  const hostile =
    '<img src=x onerror="document.title=1"><script>document.title=2</script>\u202egnp.exe\u001b[31mred\u001b[0m';
  const source = `import sys\nsys.stderr.write(${JSON.stringify(hostile)} + "\\n")\nprint(${JSON.stringify(hostile)})\n`;
  const made = await node.mesh.run({ language: 'python', source }, { label: hostile.slice(0, 60) });
  await made.wait();
  const { page, faults } = await visit(browser, node.link(`jobs/${made.id}`));
  await page.getByRole('tab', { name: 'Log' }).click();
  await page.getByText('onerror=').first().waitFor();
  await page.getByRole('tab', { name: 'Result' }).click();
  await page.getByRole('tablist', { name: 'Views of the result' }).waitFor();
  expect(await page.title()).not.toMatch(/^[12]$/);
  expect(await page.locator('main img').count()).toBe(0);
  expect(await page.locator('main').innerText()).not.toContain('\u202e');
  expect(faults).toEqual([]);
  await page.context().close();
});

test('by the keyboard alone one gets to every page', async () => {
  const { page } = await visit(browser, link('jobs'));
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  const seen = new Set<string>();
  // From the top of the page, where the focus is not on anything yet.
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  for (let step = 0; step < 30; ++step) {
    await page.keyboard.press('Tab');
    const href = await page.evaluate(() => document.activeElement?.getAttribute('href') ?? '');
    if (href.startsWith('/')) seen.add(href.slice(1));
  }
  expect([...seen].sort()).toEqual(expect.arrayContaining([...pages].sort()));
  await page.context().close();
});
