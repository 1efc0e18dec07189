// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { parseJson } from '../json';
import { finish } from '../work';
import ChartView from './ChartView';
import { findDataset } from './dataset';

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

async function show(value: unknown, onTable?: () => void): Promise<HTMLElement> {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const parsed = finish(parseJson(new TextEncoder().encode(text)));
  const dataset = parsed.ok ? finish(findDataset(parsed.document)) : null;
  if (!dataset) throw new Error('there is nothing to draw');
  render(<ChartView dataset={dataset} name="x" onTable={onTable} />);
  return screen.findByRole('application');
}

const press = (graph: HTMLElement, ...keys: string[]) => keys.forEach((key) => fireEvent.keyDown(graph, { key }));
const told = (graph: HTMLElement) => within(graph).getByRole('status').textContent;
const twoSeries = [0, 1, 2, 3].map((t) => ({ t, up: t, down: 10 - t }));

describe('ChartView', () => {
  it('says what it draws, and each point by keyboard', async () => {
    const graph = await show([5, 1, 3]);
    expect(graph.getAttribute('aria-label')).toBe('Bar of 3 rows of value, between 0 and 5.');
    press(graph, 'ArrowRight');
    expect(told(graph)).toBe('0, value: 5');
    press(graph, 'ArrowRight', 'ArrowRight', 'ArrowRight');
    expect(told(graph)).toBe('2, value: 3');
    press(graph, 'Home');
    expect(told(graph)).toBe('0, value: 5');
    press(graph, 'End');
    expect(told(graph)).toBe('2, value: 3');
    press(graph, 'Escape');
    expect(told(graph)).toBe('');
  });

  it('goes from one series to the other at the same place', async () => {
    const graph = await show(twoSeries);
    press(graph, 'ArrowRight', 'ArrowRight');
    expect(told(graph)).toBe('t: 1, up: 1');
    press(graph, 'ArrowDown');
    expect(told(graph)).toBe('t: 1, down: 9');
    press(graph, 'ArrowDown');
    expect(told(graph)).toBe('t: 1, down: 9');
    press(graph, 'ArrowUp');
    expect(told(graph)).toBe('t: 1, up: 1');
  });

  it('draws another kind and other columns when asked to', async () => {
    await show(twoSeries);
    const user = userEvent.setup();
    await user.click(screen.getByRole('button', { name: 'Histogram' }));
    expect((await screen.findByRole('application')).getAttribute('aria-label')).toMatch(/^Histogram of 4 values of up/);
    expect(screen.getByRole('button', { name: 'Histogram' }).getAttribute('aria-pressed')).toBe('true');
    await user.click(screen.getByRole('radio', { name: 'down' }));
    expect(await screen.findByRole('application', { name: /^Histogram of 4 values of down/ })).toBeTruthy();
    await user.click(screen.getByRole('button', { name: 'Scatter' }));
    expect(await screen.findByRole('application', { name: /^Scatter of 4 rows of up, down/ })).toBeTruthy();
    await user.click(screen.getByRole('checkbox', { name: 'up' }));
    expect(await screen.findByRole('application', { name: /^Scatter of 4 rows of down,/ })).toBeTruthy();
    await user.click(screen.getByRole('checkbox', { name: 'down' }));
    expect(await screen.findByText('Choose at least one column for y.')).toBeTruthy();
  });

  it('counts what it leaves out', async () => {
    await show('[1, NaN, 1e400, "x", 2]');
    expect(screen.getByText('2 values are not finite or too large to draw and left out.')).toBeTruthy();
    expect(screen.getByText('1 cell without a number left out.')).toBeTruthy();
  });

  it('zooms by key and shows the whole again', async () => {
    const frames: FrameRequestCallback[] = [];
    vi.spyOn(window, 'requestAnimationFrame').mockImplementation((callback) => frames.push(callback));
    const graph = await show(Array.from({ length: 100 }, (_, i) => i));
    const path = () => graph.querySelector('svg > g:last-of-type path')!.getAttribute('d')!;
    const whole = path();
    fireEvent.keyDown(graph, { key: '+' });
    await vi.waitFor(() => {
      frames.splice(0).forEach((frame) => frame(0));
      expect(path()).not.toBe(whole);
    });
    fireEvent.keyDown(graph, { key: '0' });
    await vi.waitFor(() => {
      frames.splice(0).forEach((frame) => frame(0));
      expect(path()).toBe(whole);
    });
  });

  it('shows names of strangers as text', async () => {
    const graph = await show([
      { '<img src=x>\u202e': '<script>', n: 1 },
      { '<img src=x>\u202e': 'b', n: 2 },
    ]);
    press(graph, 'ArrowRight');
    expect(told(graph)).toBe('<script>, n: 1');
    expect(document.querySelector('img, script')).toBeNull();
    expect(graph.textContent).toContain('<img src=x>⟨U+202E⟩');
  });

  it('saves a drawing and the data', async () => {
    const saved: Blob[] = [];
    vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => `blob:${saved.push(blob as Blob)}`);
    await show({ a: 1, b: 2 });
    await userEvent.click(screen.getByRole('button', { name: 'SVG' }));
    await userEvent.click(screen.getByRole('button', { name: 'CSV' }));
    await vi.waitFor(() => expect(saved).toHaveLength(2));
    expect(saved.map((blob) => blob.type)).toEqual(['image/svg+xml', 'text/csv;charset=utf-8']);
    const svg = await saved[0]!.text();
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain('<title>x</title>');
    expect(svg).not.toContain('var(');
    expect(await saved[1]!.text()).toBe('key,value\r\na,1\r\nb,2\r\n');
  });

  it('leads to the table', async () => {
    const onTable = vi.fn();
    await show([1, 2], onTable);
    await userEvent.click(screen.getByRole('button', { name: 'The same data as a table' }));
    expect(onTable).toHaveBeenCalledOnce();
  });
});
