import { describe, expect, it } from 'vitest';

import { parseCsv } from './csv';
import { parseJson } from './json';
import { type Direction, sortedRows } from './sort';
import { csvTable, MAX_COLUMNS, raggedRows, type Table, tableOf } from './table';
import { random } from './testing';
import { finish } from './work';

const encode = (text: string) => new TextEncoder().encode(text);

function jsonTable(text: string): Table {
  const parsed = finish(parseJson(encode(text)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  const table = finish(tableOf(parsed.document, 0));
  if (!table) throw new Error('this is no table');
  return table;
}

const fromCsv = (text: string, delimiter = ',') =>
  finish(csvTable(finish(parseCsv(encode(text), delimiter.charCodeAt(0)))));

function texts(table: Table): string[][] {
  return Array.from({ length: table.rows }, (_, row) =>
    table.columns.map((__, column) => {
      const cell = table.cell(row, column);
      return cell.kind === 'missing' ? '(missing)' : cell.text;
    }),
  );
}

function column(table: Table, direction: Direction = 'ascending', at = 0): string[] {
  return [...finish(sortedRows(table, at, direction))].map((row) => {
    const cell = table.cell(row, at);
    return cell.kind === 'missing' ? '(missing)' : cell.text;
  });
}

describe('tableOf', () => {
  it('has the union of the keys of all objects, and says what is missing', () => {
    const table = jsonTable('[{"a":1,"b":"x"},{"b":"y","c":[1]},{}]');
    expect(table.columns).toEqual(['a', 'b', 'c']);
    expect(texts(table)).toEqual([
      ['1', 'x', '(missing)'],
      ['(missing)', 'y', '[1]'],
      ['(missing)', '(missing)', '(missing)'],
    ]);
    expect(finish(raggedRows(table))).toBe(1);
  });

  it('shows ragged rows as ragged', () => {
    const table = jsonTable('[[1,2,3],[4],[],[5,[6],7,8]]');
    expect(table.columns).toEqual(['0', '1', '2', '3']);
    expect(texts(table)).toEqual([
      ['1', '2', '3', '(missing)'],
      ['4', '(missing)', '(missing)', '(missing)'],
      ['(missing)', '(missing)', '(missing)', '(missing)'],
      ['5', '[6]', '7', '8'],
    ]);
    expect(table.width(2)).toBe(0);
  });

  it('takes values, objects and columns', () => {
    expect(texts(jsonTable('[1,"a",null]'))).toEqual([['1'], ['a'], ['null']]);
    expect(texts(jsonTable('{"k":1,"l":"m"}'))).toEqual([
      ['k', '1'],
      ['l', 'm'],
    ]);
    const columns = jsonTable('{"x":[1,2],"y":[3]}');
    expect(columns.columns).toEqual(['x', 'y']);
    expect(texts(columns)).toEqual([
      ['1', '3'],
      ['2', '(missing)'],
    ]);
  });

  it('bounds the columns that hostile keys make', () => {
    const rows = Array.from({ length: 400 }, (_, i) => ({ [`k${i}`]: i }));
    const table = jsonTable(JSON.stringify(rows));
    expect(table.columns).toHaveLength(MAX_COLUMNS);
    expect(table.hiddenColumns).toBe(400 - MAX_COLUMNS);
  });

  it('takes keys of the object prototype for keys', () => {
    const table = jsonTable('[{"__proto__":1,"toString":2},{"constructor":3}]');
    expect(table.columns).toEqual(['__proto__', 'toString', 'constructor']);
    expect(texts(table)[1]).toEqual(['(missing)', '(missing)', '3']);
  });
});

describe('csvTable', () => {
  it('reads quotes, line ends and delimiters within them', () => {
    const table = fromCsv('name,note\r\n"a,b","say ""hi""\nthere"\r\nc,\r\n');
    expect(table.columns).toEqual(['name', 'note']);
    expect(texts(table)).toEqual([
      ['a,b', 'say "hi"\nthere'],
      ['c', ''],
    ]);
  });

  it('takes a first row with numbers for data', () => {
    expect(fromCsv('a,1\nb,2').columns).toEqual(['0', '1']);
    expect(fromCsv('a,a\n1,2').columns).toEqual(['0', '1']);
  });

  it('keeps ragged rows ragged', () => {
    const table = fromCsv('a,b\n1\n2,3,4\n');
    expect(texts(table)).toEqual([
      ['1', '(missing)', '(missing)'],
      ['2', '3', '4'],
    ]);
    expect(table.columns).toEqual(['a', 'b', '2']);
  });

  it.each([
    ['', 0],
    ['\n\n\n', 0],
    ['a', 1],
    ['a,', 1],
    ['a\nb\n', 2],
    ['"a', 1],
  ])('reads %j as %i rows', (text, rows) => {
    expect(finish(parseCsv(encode(text), 0x2c)).rowCount).toBe(rows);
  });

  it('says that quotes never end, and that there are too many fields', () => {
    expect(finish(parseCsv(encode('a,"b\nc,d'), 0x2c)).cut).toBe('quote');
    const csv = finish(parseCsv(encode('1,2\n3,4\n5,6\n'), 0x2c, 3));
    expect(csv.cut).toBe('bound');
    expect(csv.rowCount).toBe(2);
  });

  it('reads what was written, quoted or not', () => {
    const next = random(3);
    const field = () =>
      Array.from({ length: Math.floor(next() * 6) }, () => 'ab",\n\r \u20ac'[Math.floor(next() * 8)]).join('');
    for (let i = 0; i < 300; i += 1) {
      const rows = Array.from({ length: 1 + Math.floor(next() * 5) }, () => [field(), field(), 'end']);
      const text = rows.map((row) => row.map((one) => `"${one.replaceAll('"', '""')}"`).join(',')).join('\r\n');
      const table = fromCsv(`1,2,3\n${text}`);
      expect(texts(table).slice(1)).toEqual(rows);
    }
  });

  it('takes numbers for numbers, and nothing else', () => {
    const table = fromCsv('1,-2.5,1e400,NaN,0x10,1_000, 7 ,inf,-,1e\n');
    const numbers = table.columns.map((_, i) => table.number(0, i));
    expect(numbers).toEqual([1, -2.5, Infinity, NaN, NaN, NaN, 7, Infinity, NaN, NaN]);
    expect(table.cell(0, 4).kind).toBe('text');
  });
});

describe('sortedRows', () => {
  const mixed = '[{"v":"b"},{"v":2},{"v":null},{},{"v":true},{"v":"a"},{"v":-1e400},{"v":[1]},{"v":NaN},{"v":10}]';

  it('orders mixed types by type, then by value', () => {
    expect(column(jsonTable(mixed))).toEqual([
      ...['-1e400', '2', '10', 'NaN', 'true', 'a', 'b', '[1]', 'null', '(missing)'],
    ]);
  });

  it('keeps the missing last when it descends', () => {
    expect(column(jsonTable(mixed), 'descending')).toEqual([
      ...['null', '[1]', 'b', 'a', 'true', 'NaN', '10', '2', '-1e400', '(missing)'],
    ]);
  });

  it('orders big integers exactly', () => {
    const big = [
      '18446744073709551615',
      '18446744073709551614',
      '9007199254740993',
      '9007199254740992',
      '-18446744073709551615',
    ];
    expect(column(jsonTable(`[${big.join()}]`))).toEqual([...big].reverse());
  });

  it('is stable and right for lists longer than a run', () => {
    const next = random(5);
    const values = Array.from({ length: 5000 }, () => Math.floor(next() * 100));
    const rows = finish(sortedRows(jsonTable(JSON.stringify(values)), 0, 'ascending'));
    const wanted = values.map((value, i) => ({ value, i })).sort((a, b) => a.value - b.value || a.i - b.i);
    expect([...rows]).toEqual(wanted.map(({ i }) => i));
  });
});
