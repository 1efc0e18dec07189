// A headless Chromium that shows the dashboards of real nodes, and notices what must never happen in one: a request to another
// origin, a script that fails, anything that the Content-Security-Policy had to refuse.
//
// DASHBOARD names a built dashboard (web/dist) that is shown in place of the one inside the program: so a change to the page is
// tried without building the program anew. Everything else is still the node's. Only uploads of gigabytes cannot be tried so:
// they end a Chromium whose requests are looked at on their way.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function launch(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is not there; CHROMIUM names another browser`);
  // The tests may run as root, for whom Chromium has no sandbox of its own. What it shows is this repository's.
  return chromium.launch({
    executablePath,
    args: [
      ...['--no-sandbox', '--disable-background-networking', '--no-first-run'],
      // What is shown in place of the program's own comes from no address, from which Chromium lets nothing open a WebSocket to this machine.
      ...(process.env['DASHBOARD'] === undefined ? [] : ['--disable-features=LocalNetworkAccessChecks']),
    ],
  });
}

const ownFiles = /^\/(?!api\/|ipfs\/|openapi\.json$|livez$|readyz$)/;

/** Answers for the page's own files with those of `folder`, under the headers that the node sends. */
async function showBuilt(context: BrowserContext, folder: string): Promise<void> {
  await context.route(
    (url) => ownFiles.test(url.pathname),
    async (route) => {
      const response = await route.fetch({ url: new URL('/', route.request().url()).href }).catch(() => null);
      if (response === null) return route.abort('connectionrefused');
      const { 'content-encoding': _encoding, 'content-length': _length, ...headers } = response.headers();
      const file = join(folder, new URL(route.request().url()).pathname);
      const isPage = !/\.\w+$/.test(file);
      const types: Readonly<Record<string, string>> = { css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
      const contentType = types[file.split('.').pop() ?? ''] ?? 'application/octet-stream';
      await route.fulfill({
        path: isPage ? join(folder, 'index.html') : file,
        headers: { ...headers, 'content-type': isPage ? 'text/html' : contentType },
      });
    },
  );
}

export interface Visit {
  page: Page;
  /** What went wrong in the page so far: empty, unless a test fails. */
  faults: string[];
}

/** A tab of its own, with nothing from before. */
export async function visit(browser: Browser, link: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const built = process.env['DASHBOARD'];
  if (built !== undefined) await showBuilt(context, built);
  const page = await context.newPage();
  const faults: string[] = [];
  const note = (fault: string) => {
    if (!faults.includes(fault.slice(0, 300))) faults.push(fault.slice(0, 300));
  };
  const origin = new URL(link).origin;
  page.on('pageerror', (error) => note(`script: ${error.message}`));
  page.on('console', (message) => {
    // A request that fails while the node is down is what some tests are about; the application says so itself.
    const isNetwork = message.text().includes('net::ERR_') || message.text().includes('WebSocket connection to');
    const isRefusal = message.text().includes('the server responded with a status of');
    if (message.type() === 'error' && !isNetwork && !isRefusal) note(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (['http:', 'https:', 'ws:', 'wss:'].includes(url.protocol) && url.host !== new URL(origin).host)
      note(`request to ${url.origin}`);
  });
  await page.goto(link);
  return { page, faults };
}

/** Puts this into the page's editor in place of what is there, as a person pastes it. */
export async function write(page: Page, source: string): Promise<void> {
  await page.locator('.monaco-editor').first().click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(source);
}

/** What axe-core finds in the page as it is now, of what it calls serious or critical. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // By evaluate and not as a script of the page, which its Content-Security-Policy would refuse.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { axe: checker } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    interface Violation {
      id: string;
      impact: string | null;
      help: string;
      nodes: { target: string[]; failureSummary?: string }[];
    }
    return (await checker.run()).violations;
  });
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, help, nodes }) =>
        `${id}: ${help}: ${nodes
          .map(({ target }) => target.join(' '))
          .slice(0, 5)
          .join(', ')}`,
    );
}
