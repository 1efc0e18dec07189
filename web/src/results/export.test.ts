// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';

import { csvField, csvParts, resolveVariables, svgText } from './export';
import { parseCsv } from './csv';
import { parseJson } from './json';
import { csvTable, type Table, tableOf } from './table';
import { finish } from './work';

const encode = (text: string) => new TextEncoder().encode(text);

function tableFrom(text: string): Table {
  const parsed = finish(parseJson(encode(text)));
  const table = parsed.ok ? finish(tableOf(parsed.document, 0)) : null;
  if (!table) throw new Error('this is no table');
  return table;
}

const csvOf = (table: Table, order: Uint32Array | null = null) => finish(csvParts(table, order)).join('');

describe('csvParts', () => {
  it('writes exact numbers, quotes what needs it, and leaves the missing empty', () => {
    const table = tableFrom('[{"a":18446744073709551615,"b":"x,\\"y\\"\\n"},{"a":-1.50},{"b":null}]');
    expect(csvOf(table)).toBe('a,b\r\n18446744073709551615,"x,""y""\n"\r\n-1.50,\r\n,null\r\n');
  });

  it('writes rows in the order asked for, and all of many', () => {
    const table = tableFrom('[1,2,3]');
    expect(csvOf(table, Uint32Array.from([2, 0, 1]))).toBe('value\r\n3\r\n1\r\n2\r\n');
    expect(csvOf(tableFrom(JSON.stringify(Array.from({ length: 2500 }, (_, i) => i)))).split('\r\n')).toHaveLength(
      2502,
    );
  });

  it('is read again as it was', () => {
    const text = '[["a","b"],["x \\"1\\"","y\\r\\nz"],["",";"]]';
    const table = tableFrom(text);
    const read = finish(csvTable(finish(parseCsv(encode(csvOf(table)), 0x2c))));
    const cells = (made: Table, row: number) => made.columns.map((_, column) => made.cell(row, column).text);
    const last = read.rows - 1;
    expect(cells(read, last)).toEqual(cells(table, table.rows - 1));
    expect(cells(read, last - 1)).toEqual(cells(table, table.rows - 2));
  });
});

describe('csvField', () => {
  it.each([
    ['=1+1', false, "'=1+1"],
    ['@x', false, "'@x"],
    ['+a', false, "'+a"],
    ['-2', true, '-2'],
    ['\ta', false, "'\ta"],
    ['=a,"b"', false, '"\'=a,""b"""'],
    ['plain', false, 'plain'],
  ])('makes of %j (number: %s) %j', (text, isNumber, field) => {
    expect(csvField(text, isNumber)).toBe(field);
  });
});

describe('resolveVariables', () => {
  it('takes the value, else the fallback', () => {
    const values: Record<string, string> = { '--a': ' #123 ' };
    const resolve = (text: string) => resolveVariables(text, (name) => values[name] ?? '');
    expect(resolve('fill="var(--a, red)"')).toBe('fill="#123"');
    expect(resolve('fill="var(--b, rgb(1, 2, 3))" stroke="var(--c)"')).toBe('fill="rgb(1, 2, 3)" stroke=""');
  });
});

describe('svgText', () => {
  it('is a file of its own, without what is only for the screen, and its title is text', () => {
    const holder = document.createElement('div');
    holder.innerHTML =
      '<svg class="x" width="10" height="10"><path d="M0,0" stroke="var(--series-1, #0072b2)"></path><circle data-screen-only r="1"></circle></svg>';
    document.body.append(holder);
    const text = svgText(holder.querySelector('svg')!, '<script>\u202e');
    expect(text).toContain('xmlns="http://www.w3.org/2000/svg"');
    expect(text).toContain('stroke="#0072b2"');
    expect(text).toContain('&lt;script&gt;⟨U+202E⟩');
    expect(text).not.toMatch(/circle|class=|var\(|<script/);
    holder.remove();
  });
});
