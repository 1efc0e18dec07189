import { describe, expect, it } from 'vitest';

import { type JsonDocument, parseJson } from './json';
import { findText, MAX_MATCHES, MAX_ROWS, openBelow, PAGE, rowId, treeRows, wayTo } from './tree';
import { finish } from './work';

function documentOf(value: unknown): JsonDocument {
  const parsed = finish(parseJson(new TextEncoder().encode(JSON.stringify(value))));
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.document;
}

const list = (length: number) => Array.from({ length }, (_, i) => i);

describe('treeRows', () => {
  it('lists what is open, with levels and places among siblings', () => {
    const document = documentOf({ a: [1, { b: 2 }], c: null });
    const { rows } = treeRows(document, new Set(['0', '1']));
    expect(rows.map(({ node, level, position, siblings, index }) => [node, level, position, siblings, index])).toEqual([
      [0, 1, 1, 1, -1],
      [1, 2, 1, 2, -1],
      [2, 3, 1, 2, 0],
      [3, 3, 2, 2, 1],
      [5, 2, 2, 2, -1],
    ]);
  });

  it('shows a list of a million as a thousand pages', () => {
    const document = documentOf(list(1_000_000));
    const { rows } = treeRows(document, new Set(['0']));
    expect(rows).toHaveLength(1 + 1000);
    expect(rows.at(-1)?.page).toEqual({ from: 999_000, to: 1_000_000 });
    const inner = treeRows(document, new Set(['0', rows.at(-1)!.id])).rows;
    expect(inner).toHaveLength(1 + 1000 + 1000);
    expect(document.text(inner.at(-1)!.node)).toBe('999999');
    expect(inner.at(-1)?.index).toBe(999_999);
  });

  it('nests pages where a thousand are not enough', () => {
    const document = documentOf(list(1_000_001));
    const { rows } = treeRows(document, new Set(['0']));
    expect(rows.slice(1).map((row) => row.page)).toEqual([
      { from: 0, to: 1_000_000 },
      { from: 1_000_000, to: 1_000_001 },
    ]);
  });

  it('stops at a bound and says so', () => {
    const document = documentOf(list(1_000_000));
    const open = new Set(['0']);
    for (const row of treeRows(document, open).rows) open.add(row.id);
    const { rows, isCut } = treeRows(document, open);
    expect(rows).toHaveLength(MAX_ROWS);
    expect(isCut).toBe(true);
  });
});

describe('wayTo', () => {
  it('names the way and what to open, through pages', () => {
    const document = documentOf({ jobs: list(2500), 'odd key': { '"': [true] } });
    const node = 1 + 1 + 1234;
    const { open, path } = wayTo(document, node);
    expect(path).toBe('.jobs[1234]');
    expect(open).toEqual(['0', '1', rowId(1, { from: PAGE, to: 2 * PAGE })]);
    expect(treeRows(document, new Set(open)).rows.some((row) => row.node === node && !row.page)).toBe(true);
    expect(wayTo(document, document.length - 1).path).toBe('["odd key"]["\\""][0]');
  });
});

describe('findText', () => {
  it('finds keys and values, escaped ones too, whatever their case', () => {
    const document = documentOf({ Name: 'x', list: ['a\u00c4\n', 'NAME', 17], name2: {} });
    const texts = (text: string) => finish(findText(document, text)).map((node) => wayTo(document, node).path);
    expect(texts('name')).toEqual(['.Name', '.list[1]', '.name2']);
    expect(texts('\u00e4\n')).toEqual(['.list[0]']);
    expect(texts('17')).toEqual(['.list[2]']);
    expect(texts('nothing of it')).toEqual([]);
  });

  it('stops at a bound', () => {
    expect(finish(findText(documentOf(list(20_000).fill(1)), '1'))).toHaveLength(MAX_MATCHES);
  });
});

describe('openBelow', () => {
  it('opens outer levels first, until there is enough', () => {
    const document = documentOf(list(50).map(() => list(50).map(() => [1])));
    const open = openBelow(document, 0, new Set(), 300);
    expect(open.has('0')).toBe(true);
    expect(treeRows(document, open).rows.length).toBeLessThan(500);
    expect(treeRows(document, open).rows.length).toBeGreaterThan(200);
  });
});
