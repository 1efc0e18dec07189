// The dashboard of a federation that pays, in a real browser: its proof of payment, its wallet, its ledger.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMesh, type RunningMesh } from '../../sdk/js/test/mesh_nodes.js';
import { accessibilityFaults, launch, visit } from './browser.js';

let browser: Browser;
let mesh: RunningMesh;

beforeAll(async () => {
  [browser, mesh] = await Promise.all([
    launch(),
    startMesh({ nodes: 5, federation: { founders: 4, gift: 5_000_000, bond: 1_000_000 } }),
  ]);
});
afterAll(async () => {
  await browser.close();
  await mesh.stop();
});

test('what a paid job says of its payment is checked in the page', async () => {
  const node = mesh.first;
  const job = await node.mesh.run(
    { language: 'wat', source: '(module (memory (export "memory") 1) (func (export "_start")))' },
    { label: 'paid for', fee: 1000, verifiers: 3 },
  );
  await job.wait();
  const { page, faults } = await visit(browser, node.link(`jobs/${job.id}`));
  await page.getByRole('button', { name: 'Proof' }).click();
  await page.getByRole('button', { name: 'Verify here' }).click();
  await page.getByText('Everything that was checked holds.').waitFor();
  expect(await page.getByText('does not hold', { exact: true }).count()).toBe(0);
  expect(faults).toEqual([]);
  await page.context().close();
});

test('the wallet and the ledger are open to everybody', async () => {
  const node = mesh.first;
  for (const path of ['wallet', 'ledger', 'ledger/blocks/1']) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit(browser, node.link(path), { colorScheme });
      await page.getByRole('heading', { level: 1 }).first().waitFor();
      await page.waitForLoadState('networkidle');
      expect(await accessibilityFaults(page), path).toEqual([]);
      expect(faults, path).toEqual([]);
      await page.context().close();
    }
  }
});

test('credits are sent by the wallet, after a question', async () => {
  const [node, other] = mesh.nodes;
  if (node === undefined || other === undefined) throw new Error('the mesh has too few nodes');
  const account = async () => {
    const { data } = await other.mesh.api.GET('/api/v1/ledger/accounts/{account}', {
      params: { path: { account: 'self' } },
    });
    if (data === undefined) throw new Error('no account');
    return data;
  };
  const before = await account();
  const { page, faults } = await visit(browser, node.link('wallet'));
  await page.getByLabel('To', { exact: true }).fill(before.account);
  await page.getByLabel('Amount').first().fill('0.25');
  await page.getByRole('button', { name: /^Send/ }).first().click();
  await page.getByRole('dialog').getByRole('button', { name: 'Confirm' }).click();
  await expect
    .poll(async () => BigInt((await account()).balance) - BigInt(before.balance), { timeout: 30_000 })
    .toBe(250_000n);
  expect(faults).toEqual([]);
  await page.context().close();
});
