// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { parseJson } from './json';
import { TreeView } from './TreeView';
import { finish } from './work';

beforeEach(() => {
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(600);
});

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

function show(value: unknown): HTMLElement {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const parsed = finish(parseJson(new TextEncoder().encode(text)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  render(<TreeView document={parsed.document} />);
  return screen.getByRole('tree');
}

/** The row that has the focus, as assistive technology finds it. */
function active(tree: HTMLElement): HTMLElement {
  const row = document.getElementById(tree.getAttribute('aria-activedescendant') ?? '');
  if (!row) throw new Error('no row is active');
  return row;
}

const press = (tree: HTMLElement, ...keys: string[]) => keys.forEach((key) => fireEvent.keyDown(tree, { key }));
const rowText = (row: HTMLElement) => row.textContent?.replace(/[▸▾]/g, '');

describe('TreeView', () => {
  it('goes up, down, to the first and to the last row', () => {
    const tree = show({ a: 1, b: [2, 3] });
    press(tree, 'ArrowDown');
    expect(rowText(active(tree))).toBe('a: 1');
    press(tree, 'ArrowDown', 'ArrowDown', 'ArrowUp');
    expect(rowText(active(tree))).toBe('b: [ 2 elements ]');
    press(tree, 'End');
    expect(rowText(active(tree))).toBe('1: 3');
    press(tree, 'ArrowDown');
    expect(rowText(active(tree))).toBe('1: 3');
    press(tree, 'Home');
    expect(rowText(active(tree))).toBe('{ 2 members }');
  });

  it('closes, opens and goes to the parent and the first child as the tree pattern asks', () => {
    const tree = show({ a: { b: [1] } });
    press(tree, 'ArrowDown', 'ArrowRight');
    expect(rowText(active(tree))).toBe('b: [ 1 element ]');
    press(tree, 'ArrowLeft');
    expect(active(tree).getAttribute('aria-expanded')).toBe('false');
    press(tree, 'ArrowLeft');
    expect(rowText(active(tree))).toBe('a: { 1 member }');
    press(tree, 'ArrowLeft');
    expect(active(tree).getAttribute('aria-expanded')).toBe('false');
    press(tree, 'Enter');
    expect(active(tree).getAttribute('aria-expanded')).toBe('true');
    press(tree, ' ');
    expect(active(tree).getAttribute('aria-expanded')).toBe('false');
    press(tree, '*', 'ArrowDown', 'ArrowDown');
    expect(rowText(active(tree))).toBe('0: 1');
  });

  it('says levels and places, and expanded only of what can be', () => {
    const tree = show([[], 5]);
    press(tree, 'ArrowDown');
    const row = active(tree);
    expect(['aria-level', 'aria-posinset', 'aria-setsize'].map((name) => row.getAttribute(name))).toEqual([
      '2',
      '1',
      '2',
    ]);
    expect(row.hasAttribute('aria-expanded')).toBe(false);
  });

  it('leaves keys with modifiers to the browser', () => {
    const tree = show([1]);
    expect(fireEvent.keyDown(tree, { key: 'ArrowDown', ctrlKey: true })).toBe(true);
    expect(fireEvent.keyDown(tree, { key: 'ArrowDown' })).toBe(false);
  });

  it('shows big numbers exactly and hostile keys as text', () => {
    const tree = show('{"<img src=x>\\u202e": 18446744073709551615, "n": 1e400}');
    const texts = screen.getAllByRole('treeitem').map(rowText);
    expect(texts).toContain('<img src=x>⟨U+202E⟩: 18446744073709551615');
    expect(texts).toContain('n: 1e400');
    expect(tree.querySelector('img')).toBeNull();
  });

  it('finds a value in what is closed and opens the way to it', async () => {
    const tree = show({ list: Array.from({ length: 3000 }, (_, i) => ({ name: `n${i}` })) });
    await userEvent.type(screen.getByRole('searchbox'), 'N2718');
    await waitFor(() => expect(rowText(active(tree))).toBe('name: "n2718"'));
    expect(screen.getByText('.list[2718].name')).toBeTruthy();
    expect(screen.getByText('1 of 1')).toBeTruthy();
  });

  it('renders no more rows than fit, however many there are', () => {
    show(Array.from({ length: 900 }, (_, i) => i));
    expect(screen.getAllByRole('treeitem').length).toBeLessThan(60);
  });
});
