// @vitest-environment happy-dom
import { cleanup, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { parseJson } from './json';
import { tableOf } from './table';
import { TableView } from './TableView';
import { finish } from './work';

beforeEach(() => {
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(600);
});

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

function show(text: string): void {
  const parsed = finish(parseJson(new TextEncoder().encode(text)));
  const table = parsed.ok ? finish(tableOf(parsed.document, 0)) : null;
  if (!table) throw new Error('this is no table');
  render(<TableView table={table} name="x.csv" />);
}

const column = (at: number) =>
  screen
    .getAllByRole('row')
    .slice(1)
    .map((row) => row.querySelectorAll('[role=cell]')[at]?.textContent);

describe('TableView', () => {
  it('sorts mixed types up, down and back again', async () => {
    show('[{"v":"b"},{"v":10},{},{"v":9007199254740993},{"v":9007199254740992},{"v":"a"}]');
    const header = () => screen.getByRole('columnheader', { name: /v/ });
    const user = userEvent.setup();
    await user.click(screen.getByRole('button', { name: /^v/ }));
    await waitFor(() => expect(column(0)).toEqual(['10', '9007199254740992', '9007199254740993', 'a', 'b', '']));
    expect(header().getAttribute('aria-sort')).toBe('ascending');
    await user.click(screen.getByRole('button', { name: /^v/ }));
    await waitFor(() => expect(column(0)).toEqual(['b', 'a', '9007199254740993', '9007199254740992', '10', '']));
    expect(header().getAttribute('aria-sort')).toBe('descending');
    await user.click(screen.getByRole('button', { name: /^v/ }));
    await waitFor(() => expect(column(0)[0]).toBe('b'));
    expect(header().getAttribute('aria-sort')).toBe('none');
  });

  it('says that rows are ragged and marks what is missing', async () => {
    show('[[1,2],[3],[4,5]]');
    expect(await screen.findByText(/ragged: 1 of them/)).toBeTruthy();
    expect(document.querySelectorAll('.rv-cell-missing')).toHaveLength(1);
  });

  it('renders the rows that fit, of however many', () => {
    show(JSON.stringify(Array.from({ length: 5000 }, (_, i) => [i])));
    expect(screen.getAllByRole('row').length).toBeLessThan(60);
    expect(screen.getByRole('table').getAttribute('aria-rowcount')).toBe('5001');
  });
});
