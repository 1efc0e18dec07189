// Pictures of every page in both themes (`make screenshots`), of a federation's five nodes that have run a few jobs. MESH names the
// program, SCREENSHOTS the folder.
import { mkdir } from 'node:fs/promises';
import { test } from 'vitest';
import { startMesh } from '../../sdk/js/test/mesh_nodes.js';
import { launch, visit } from './browser.js';

const folder = process.env['SCREENSHOTS'] ?? 'docs/screenshots';
const size = { width: 1280, height: 800 };
const programs = {
  'a sine':
    'import json, math\nprint(json.dumps([{"x": x, "sine": math.sin(x / 8), "cosine": math.cos(x / 8)} for x in range(120)]))\n',
  'words a line': 'import sys\nfor line in sys.stdin:\n    print(len(line.split()))\n',
  'one that fails': 'def half(x):\n    return 1 / x\n\nprint(half(0))\n',
};

test('pictures of every page', async () => {
  await mkdir(folder, { recursive: true });
  const [browser, mesh] = await Promise.all([
    launch(),
    startMesh({ nodes: 5, federation: { founders: 4, gift: 5_000_000, bond: 1_000_000 } }),
  ]);
  const node = mesh.first;
  const ids: string[] = [];
  for (const [label, source] of Object.entries(programs)) {
    const job = await node.mesh.run({ language: 'python', source }, { label, verifiers: 3, fee: 1000 });
    await job.wait();
    ids.push(job.id);
  }
  for (const colorScheme of ['light', 'dark'] as const) {
    const take = async (
      name: string,
      path: string,
      before?: (page: Awaited<ReturnType<typeof visit>>['page']) => Promise<void>,
    ) => {
      const { page } = await visit(browser, node.link(path), { colorScheme, viewport: size });
      await page.getByRole('heading', { level: 1 }).first().waitFor();
      await page.waitForLoadState('networkidle');
      await before?.(page);
      await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png`, animations: 'disabled' });
      await page.context().close();
    };
    for (const path of ['jobs', 'map', 'content', 'wallet', 'ledger', 'peers', 'activity', 'settings'])
      await take(path, path);
    await take('submit', 'submit', (page) => page.locator('.monaco-editor .view-line').first().waitFor());
    await take('job', `jobs/${ids[0] ?? ''}`, async (page) => {
      await page.getByRole('tab', { name: 'Result' }).click();
      await page.getByRole('tab', { name: 'Graph' }).click();
      await page.getByRole('application').waitFor();
    });
    await take('failure', `jobs/${ids[2] ?? ''}`, async (page) => {
      await page.getByRole('tab', { name: 'Log' }).click();
      await page.getByText('ZeroDivisionError').first().waitFor();
    });
  }
  await browser.close();
  await mesh.stop();
});
