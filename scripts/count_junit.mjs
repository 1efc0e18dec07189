// Counts the test cases of JUnit reports, as ctest and Node's test runner write them.
// usage: node count_junit.mjs REPORT...     prints "PASSED FAILED SKIPPED", and a line for each that failed: its name and why
import { readFileSync } from 'node:fs';

const REASON_LINES = 3;
const MAX_LINE = 240;

const entities = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'", '&amp;': '&' };
const plain = (text) =>
  text.replace(/<!\[CDATA\[|\]\]>/g, '').replace(/&(lt|gt|quot|apos|amp);/g, (entity) => entities[entity]);

/** The lines by which unittest, GoogleTest and Node's assertions say what was wrong, in one. */
function reasonIn(content) {
  const lines = plain(content)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^(FAIL|ERROR): |^[\w.]*(Error|Exception)\b|: Failure$|Sanitizer:/.test(line));
  return [...new Set(lines)].slice(0, REASON_LINES).join(' | ');
}

let [passed, skipped] = [0, 0];
const failed = [];
for (const path of process.argv.slice(2)) {
  const text = readFileSync(path, 'utf8');
  // What the tests printed is in these reports too: it is escaped or in CDATA, and must not be taken for elements.
  const elements = text.replace(/<!\[CDATA\[[\s\S]*?\]\]>/g, (data) =>
    data.replace(/</g, '&lt;').replace(/>/g, '&gt;'),
  );
  for (const [, attributes, end, body = ''] of elements.matchAll(
    /<testcase\b((?:[^>"]|"[^"]*")*?)(\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const content = end === '/>' ? '' : body;
    const status = /\bstatus="(\w+)"/.exec(attributes)?.[1];
    if (/<(failure|error)\b/.test(content) || status === 'fail') {
      failed.push(`${/\bname="([^"]*)"/.exec(attributes)?.[1]}: ${reasonIn(content)}`.slice(0, MAX_LINE));
    } else if (/<skipped\b/.test(content) || status === 'notrun' || status === 'disabled') skipped += 1;
    else passed += 1;
  }
}
console.log([passed, failed.length, skipped].join(' '));
for (const line of failed) console.log(plain(line));
