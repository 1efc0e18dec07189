// Counts the test cases of JUnit reports, as ctest and Node's test runner write them.
// usage: node count_junit.mjs REPORT...     prints "PASSED FAILED SKIPPED"
import { readFileSync } from 'node:fs';

let [passed, failed, skipped] = [0, 0, 0];
for (const path of process.argv.slice(2)) {
  // What the tests printed is in these reports too: it is escaped or in CDATA, and must not be taken for elements.
  const text = readFileSync(path, 'utf8').replace(/<!\[CDATA\[[\s\S]*?\]\]>/g, '');
  for (const [, attributes, end, body = ''] of text.matchAll(
    /<testcase\b((?:[^>"]|"[^"]*")*?)(\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const content = end === '/>' ? '' : body;
    const status = /\bstatus="(\w+)"/.exec(attributes)?.[1];
    if (/<(failure|error)\b/.test(content) || status === 'fail') failed += 1;
    else if (/<skipped\b/.test(content) || status === 'notrun' || status === 'disabled') skipped += 1;
    else passed += 1;
  }
}
console.log(passed, failed, skipped);
