// What a person does with the dashboard, in a real browser against a mesh of five real nodes.
import type { Browser } from 'playwright-core';
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

function link(path = ''): string {
  const node = mesh.nodes[0];
  if (node === undefined) throw new Error('the mesh has no node');
  return `${node.url}/${path}#token=${node.token}`;
}

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
