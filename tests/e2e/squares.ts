// The story that every mesh has to tell: a Python function is typed into the page, five nodes run and verify it, and its
// numbers are seen as JSON and as a graph.
import { expect } from 'vitest';
import type { Page } from 'playwright-core';
import { write } from './browser.js';

const squares = `import json
print(json.dumps([{"x": x, "square": x * x} for x in range(40)]))
`;

/** From the Submit page to the graph of the result. The job's id. */
export async function runSquares(page: Page): Promise<string> {
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
  return new URL(page.url()).pathname.split('/').pop() ?? '';
}
