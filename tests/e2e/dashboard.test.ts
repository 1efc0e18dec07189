// What a person does with the dashboard, in a real browser against a mesh of five real nodes.
import { readFile } from 'node:fs/promises';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMesh, type RunningMesh } from '../../sdk/js/test/mesh_nodes.js';
import { accessibilityFaults, launch, visit } from './browser.js';
import { runSquares } from './squares.js';

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

  test(`a job's page and every view of its result are open to everybody (${scheme})`, async () => {
    const source = `import json, sys
print("\\x1b[31mred\\x1b[0m and \\x1b[32mgreen", file=sys.stderr)
print(json.dumps([{"x": x, "y": x % 7} for x in range(40)]))`;
    const job = await mesh.nodes[0]!.mesh.run({ language: 'python', source }, { label: 'looked at' });
    await job.wait();
    const { page, faults } = await visit(browser, link(`jobs/${job.id}`), { colorScheme: scheme });
    const tabs = page.getByRole('tablist', { name: 'Of this job' });
    for (const name of ['Log', 'Who, and why', 'Events', 'Terms and payment', 'Result']) {
      await tabs.getByRole('tab', { name }).click();
      await page.waitForLoadState('networkidle');
      expect(await accessibilityFaults(page), name).toEqual([]);
    }
    const views = page.getByRole('tablist', { name: 'Views of the result' });
    for (const [name, role] of [
      ['JSON', 'tree'],
      ['Table', 'table'],
      ['Graph', 'application'],
    ] as const) {
      await views.getByRole('tab', { name }).click();
      await page.getByRole('tabpanel').getByRole(role).first().waitFor();
      expect(await accessibilityFaults(page), name).toEqual([]);
    }
    expect(faults).toEqual([]);
    await page.context().close();
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

test('a Python function is written, run by five nodes, looked at as JSON and as a graph, and its proof checked here', async () => {
  const { page, faults } = await visit(browser, link('submit'));
  const id = await runSquares(page);
  const saving = page.waitForEvent('download');
  await page.getByRole('button', { name: 'SVG', exact: true }).click();
  const drawing = await readFile(await (await saving).path(), 'utf8');
  expect(drawing).toMatch(/ fill="rgb\(\d+, \d+, \d+\)"/);
  expect(drawing).not.toMatch(/var\(|light-dark/);
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

/** Goes on by the tab key until it is there. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  for (let step = 0; step < 60; ++step) {
    await page.keyboard.press('Tab');
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  throw new Error(`60 times the tab key did not lead to ${String(target)}`);
}

test('by the keyboard alone a program is written, run and its result looked at', async () => {
  const { page, faults } = await visit(browser, link('jobs'));
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  await tabTo(page, page.getByRole('link', { name: 'Submit', exact: true }));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Submit' }).and(page.locator(':focus')).waitFor();
  const languages = page.getByRole('tablist', { name: 'Language' });
  await tabTo(page, languages.getByRole('tab', { selected: true }));
  await page.keyboard.press('ArrowRight');
  await languages.getByRole('tab', { name: 'JavaScript', selected: true }).waitFor();
  await page.locator('.monaco-editor .view-line').first().waitFor();
  const editor = page.getByRole('textbox', { name: /^Program/ });
  await tabTo(page, editor);
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText('console.log(JSON.stringify([1, 4, 9]))');
  // Inside of the editor the tab key indents, until one says otherwise.
  await page.keyboard.press('Control+M');
  await tabTo(page, page.getByRole('button', { name: 'Run', exact: true }));
  await page.keyboard.press('Enter');
  const watch = page.getByRole('link', { name: 'Watch it' });
  await watch.waitFor();
  await tabTo(page, watch);
  await page.keyboard.press('Enter');
  await page.getByText('done', { exact: true }).first().waitFor({ timeout: 60_000 });
  const tabs = page.getByRole('tablist', { name: 'Of this job' });
  await tabTo(page, tabs.getByRole('tab', { selected: true }));
  for (const name of ['Log', 'Result']) {
    await page.keyboard.press('ArrowRight');
    await tabs.getByRole('tab', { name, selected: true }).waitFor();
  }
  const views = page.getByRole('tablist', { name: 'Views of the result' });
  await views.waitFor();
  await tabTo(page, views.getByRole('tab', { selected: true }));
  await page.keyboard.press('End');
  await views.getByRole('tab', { name: 'Bytes', selected: true }).waitFor();
  expect(await page.getByRole('tabpanel').first().innerText()).toContain('5b 31 2c 34 2c 39 5d');
  expect(faults).toEqual([]);
  await page.context().close();
});
