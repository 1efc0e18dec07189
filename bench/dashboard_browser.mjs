// What a browser sees of the dashboard: one part of the case `dashboard` in headless Chromium.
//
// usage: dashboard_browser.mjs loads|bytes|rows|ends|frames, with what the part needs as one line of JSON on stdin
//
// Every answer is one line of JSON on stdout. A part that watches says {"ready": true} first, and ends with the next line on
// stdin. CHROMIUM names the browser; Debian's unless told. Moments of the page are Date.now(): the clock of the machine, which
// is the node's, too, in whole milliseconds.
/* global document, Element, MessageChannel, MutationObserver, PerformanceObserver, requestAnimationFrame */
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const LIMIT_MS = 60_000;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

async function nextLine() {
  const { value, done } = await lines.next();
  if (done) throw new Error('stdin ended before the part did');
  return JSON.parse(value);
}

async function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is not there; CHROMIUM names another browser`);
  // It may run as root, for whom Chromium has no sandbox of its own. What it shows is this repository's.
  const args = ['--no-sandbox', '--disable-background-networking', '--no-first-run'];
  return chromium.launch({ executablePath, args });
}

/** A tab with nothing from before, that fails where a page's script does. */
async function tab(browser) {
  const context = await browser.newContext({ timezoneId: 'UTC', viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  return {
    page,
    network: await context.newCDPSession(page),
    async close() {
      await context.close();
      if (faults.length > 0) throw new Error(`a script of the page failed: ${faults[0]}`);
    },
  };
}

/** Counts what comes over the network from now on: whole answers with their heads, as they were sent. */
async function counted(network, wanted = () => true) {
  await network.send('Network.enable');
  const found = { bytes: 0, requests: 0 };
  const urls = new Map();
  network.on('Network.requestWillBeSent', ({ requestId, request }) => urls.set(requestId, request.url));
  network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (!wanted(urls.get(requestId) ?? '')) return;
    found.bytes += encodedDataLength;
    ++found.requests;
  });
  return found;
}

/** In the page, before its own scripts: notes when `selector` was drawn, and every long task. */
function watchLoad(selector) {
  const found = { drawn: null, longTasks: [] };
  globalThis.measured = found;
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) found.longTasks.push([startTime, duration]);
  }).observe({ type: 'longtask', buffered: true });
  const observer = new MutationObserver(() => {
    if (document.querySelector(selector) === null) return;
    observer.disconnect();
    // The message is taken after the frame that shows it.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (found.drawn = performance.now());
      port2.postMessage(null);
    });
  });
  observer.observe(document, { childList: true, subtree: true });
}

/** Interactive: drawn, and the last long task that came with it has ended. */
async function load(browser, { link, selector }) {
  const { page, network, close } = await tab(browser);
  const came = await counted(network);
  await network.send('Network.setCacheDisabled', { cacheDisabled: true });
  await page.addInitScript(watchLoad, selector);
  await page.goto(link);
  await page.waitForFunction(() => globalThis.measured.drawn !== null);
  await page.waitForLoadState('networkidle');
  const { drawn, longTasks, firstPaint } = await page.evaluate(() => ({
    ...globalThis.measured,
    firstPaint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
  }));
  await close();
  const interactive = Math.max(drawn, ...longTasks.map(([start, duration]) => start + duration));
  return { ...came, interactive_ms: interactive, drawn_ms: drawn, first_paint_ms: firstPaint };
}

async function loads(browser, { dashboard, plain, count }) {
  await load(browser, plain); // The browser itself starts its network and its first renderer.
  const found = { dashboard: [], plain: [] };
  for (let i = 0; i < count; ++i) {
    found.plain.push(await load(browser, plain));
    found.dashboard.push(await load(browser, dashboard));
  }
  return found;
}

/** What all pages together take, but the one with the editor: the files of the dashboard, without the node's answers. */
async function bytes(browser, { link }) {
  const { page, network, close } = await tab(browser);
  const came = await counted(network, (url) => !new URL(url).pathname.startsWith('/api/'));
  await page.goto(link);
  const places = page.locator('nav ul a:not([href="/submit"])');
  await places.first().waitFor();
  for (const place of await places.all()) {
    await place.click();
    await page.locator('main h1').first().waitFor();
    await page.waitForLoadState('networkidle');
  }
  await close();
  return came;
}

/** In the page: when each row of the table came on the screen, by its first cells' text. */
function watchRows(cells) {
  const seen = [];
  globalThis.seen = seen;
  const isRow = '[role=row]:not(.vhead)';
  const rowsIn = (node) =>
    node instanceof Element ? [...(node.matches(isRow) ? [node] : []), ...node.querySelectorAll(isRow)] : [];
  new MutationObserver((changes) => {
    const added = changes.flatMap(({ addedNodes }) => [...addedNodes].flatMap(rowsIn));
    if (added.length === 0) return;
    const texts = added.map((row) => [...row.children].slice(0, cells).map(({ textContent }) => textContent));
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        const now = Date.now();
        for (const text of texts) seen.push([now, ...text]);
      };
      port2.postMessage(null);
    });
  }).observe(document.querySelector('main'), { childList: true, subtree: true });
}

/** In the page: when each job of the list was first seen with the badge of its end, by its label. */
function watchEnds(prefix) {
  const seen = [];
  globalThis.seen = seen;
  const known = new Set();
  const look = () => {
    const fresh = [];
    for (const row of document.querySelectorAll('main [role=row]:not(.vhead)')) {
      const [label, phase] = [...row.children].map(({ textContent }) => textContent);
      const [found] = label.match(new RegExp(`${prefix}\\d+\\.`)) ?? [];
      if (found === undefined || !phase.startsWith('done') || known.has(found)) continue;
      known.add(found);
      fresh.push(found);
    }
    if (fresh.length === 0) return;
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        for (const label of fresh) seen.push([Date.now(), label]);
      };
      port2.postMessage(null);
    });
  };
  new MutationObserver(look).observe(document.querySelector('main'), {
    childList: true,
    subtree: true,
    characterData: true,
  });
}

async function watched(browser, link, watch, argument) {
  const { page, close } = await tab(browser);
  await page.goto(link);
  await page.locator('main [role=row]:not(.vhead)').first().waitFor();
  await page.waitForLoadState('networkidle');
  await page.evaluate(watch, argument);
  say({ ready: true });
  const { until } = await nextLine();
  // The last of them is waited for; what came before it was seen before it, or never.
  await page.waitForFunction(
    (last) => globalThis.seen.some((entry) => last.every((text, i) => entry[i + 1] === text)),
    until,
  );
  const seen = await page.evaluate(() => globalThis.seen);
  await close();
  return { seen };
}

/** In the page: notes for so long when each frame began, and what the longest were made of. */
function takeFrames({ seconds, kept }) {
  const moments = [];
  const slow = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration, renderStart, styleAndLayoutStart, scripts } of list.getEntries())
      slow.push({
        ms: duration,
        before_drawing_ms: renderStart === 0 ? null : renderStart - startTime,
        layout_ms: styleAndLayoutStart === 0 ? null : startTime + duration - styleAndLayoutStart,
        scripts: scripts.map((one) => [one.invoker, one.duration]),
      });
  });
  observer.observe({ type: 'long-animation-frame' });
  const begin = Date.now();
  return new Promise((resolve) => {
    const take = (now) => {
      moments.push(now);
      if (now - moments[0] < seconds * 1000) {
        requestAnimationFrame(take);
        return;
      }
      observer.disconnect();
      const longest = slow.sort((a, b) => b.ms - a.ms).slice(0, kept);
      resolve({ begin, end: Date.now(), deltas: moments.slice(1).map((one, i) => one - moments[i]), longest });
    };
    requestAnimationFrame(take);
  });
}

/** Turns the wheel over the list for as long as frames are taken. */
async function frames(browser, { link, ready, scroller, seconds, step, every_ms: everyMs }) {
  const { page, close } = await tab(browser);
  await page.goto(link);
  await page.locator(ready).first().waitFor({ state: 'attached' });
  await page.locator(scroller).hover();
  let found;
  const taken = page.evaluate(takeFrames, { seconds, kept: 5 }).then((answer) => (found = answer));
  while (found === undefined) await Promise.race([taken, page.mouse.wheel(0, step).then(() => pause(everyMs))]);
  const scrolled = await page.locator(scroller).evaluate(({ scrollTop }) => scrollTop);
  await close();
  if (scrolled === 0) throw new Error('the wheel scrolled nothing');
  return { ...found, scrolled };
}

const parts = {
  loads,
  bytes,
  rows: (browser, { link, cells }) => watched(browser, link, watchRows, cells),
  ends: (browser, { link, prefix }) => watched(browser, link, watchEnds, prefix),
  frames,
};

const [name] = process.argv.slice(2);
const part = parts[name];
if (part === undefined) throw new Error(`there is no part ${name}; there are ${Object.keys(parts).join(', ')}`);
const work = await nextLine();
const browser = await launch();
try {
  say(await part(browser, work));
} finally {
  await browser.close();
}
process.stdin.destroy();
