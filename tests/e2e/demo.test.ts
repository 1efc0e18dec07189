// The demonstration as who tries it first meets it: `mesh demo --stay` prints a link, behind it are the jobs that just ran, and
// the mesh takes another.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { meshProgram } from '../../sdk/js/test/mesh_nodes.js';
import { launch, visit } from './browser.js';
import { runSquares } from './squares.js';

let browser: Browser;
let folder: string;
let demo: ChildProcess;
let ended: Promise<number | null>;

beforeAll(async () => {
  [browser, folder] = await Promise.all([launch(), mkdtemp(join(tmpdir(), 'mesh-demo-test-'))]);
});
afterAll(async () => {
  demo?.kill('SIGTERM');
  await ended;
  await browser?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** The link that the demonstration prints once its jobs are done. */
async function startDemo(): Promise<string> {
  const program = meshProgram();
  if (program === undefined) throw new Error('MESH names no program: set it to a built mesh');
  // Asked to end, it ends its nodes; one that outlives a killed test is asked, too.
  const wrapper = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'TERM', '--'] : [];
  const [command = '', ...args] = [...wrapper, program, 'demo', '--stay', '--nodes', '5'];
  const env = { ...process.env, MESH_HOME: join(folder, 'home'), TMPDIR: folder };
  demo = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  ended = new Promise((resolve) => demo.once('exit', resolve));
  const said: string[] = [];
  demo.stderr?.on('data', (text: Buffer) => said.push(text.toString()));
  for await (const line of createInterface({ input: demo.stdout! })) {
    said.push(`${line}\n`);
    const link = /goes on until Ctrl-C\. Its dashboard: (\S+)$/.exec(line)?.[1];
    if (link === undefined) continue;
    demo.stdout?.resume();
    return link;
  }
  throw new Error(`the demonstration ended: ${said.join('').slice(-2000)}`);
}

test('the address that the demonstration ends with shows its jobs, and runs one more over its five nodes', async () => {
  const link = await startDemo();
  const { page, faults } = await visit(browser, link);
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  await page
    .getByRole('link', { name: /main\.py/ })
    .first()
    .click();
  await page.getByText('verified', { exact: true }).first().waitFor();
  await page.getByRole('tab', { name: 'Result' }).click();
  await page.getByRole('tablist', { name: 'Views of the result' }).waitFor();

  await page.getByRole('link', { name: 'Peers' }).click();
  await page.getByRole('heading', { level: 1, name: 'Peers' }).waitFor();
  await page.getByRole('link', { name: 'Submit' }).click();
  await runSquares(page);
  await page.getByText('verified', { exact: true }).first().waitFor();
  expect(faults).toEqual([]);
  await page.context().close();
  demo.kill('SIGINT');
  expect(await ended).toBe(0);
}, 240_000);
