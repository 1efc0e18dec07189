// @vitest-environment happy-dom
import { cleanup, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import ResultView from './ResultView';

const encode = (text: string) => new TextEncoder().encode(text);

beforeEach(() => {
  // happy-dom lays nothing out, and a virtual list shows what fits its height.
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(600);
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(800);
});

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

describe('ResultView', () => {
  it('shows JSON as a tree, a table and a graph', async () => {
    render(<ResultView bytes={encode('[{"t":1,"v":2},{"t":2,"v":5},{"t":3,"v":3}]')} />);
    const [root] = await screen.findAllByRole('treeitem');
    expect(root?.textContent).toContain('3 elements');
    const user = userEvent.setup();
    await user.click(screen.getByRole('tab', { name: 'Table' }));
    expect(await screen.findByRole('columnheader', { name: /v/ })).toBeTruthy();
    await user.click(screen.getByRole('tab', { name: 'Graph' }));
    const graph = await screen.findByRole('application');
    expect(graph.getAttribute('aria-label')).toBe('Line of 3 rows of v, between 2 and 5.');
  });

  it('says that an empty result is empty', () => {
    render(<ResultView bytes={new Uint8Array()} />);
    expect(screen.getByText('The result is empty.')).toBeTruthy();
  });

  it('shows markup, ANSI escapes and bidi controls as text', async () => {
    const hostile = '<script>alert(1)</script>\u001b[31mred\u202eevil';
    const { container } = render(<ResultView bytes={encode(hostile)} />);
    const text = await screen.findByRole('region', { name: 'Text' });
    expect(text.textContent).toBe('<script>alert(1)</script>␛[31mred⟨U+202E⟩evil');
    expect(container.querySelector('script')).toBeNull();
  });

  it.each([
    ['{"a": nul}', /JSON but is not, at byte 6: a value is expected/],
    ['["\u0001"]', /JSON but is not, at byte 2: a string holds byte 0x01/],
    ['[1, NaN, -Infinity]', /2 of the numbers are NaN or Infinity/],
    ['{"a":1}\n{"a":2}\n', /One JSON value per line/],
    ['a,b\n1,"2\n3,4\n', /A quoted field has no end/],
  ])('says of %j what is odd about it', async (text, note) => {
    render(<ResultView bytes={encode(text)} />);
    expect(await screen.findByText(note)).toBeTruthy();
  });

  it('says why a text with invalid UTF-8 is not JSON, and shows it', async () => {
    render(<ResultView bytes={Uint8Array.from([...encode('{"a": "some text here '), 0xff, ...encode('"}')])} />);
    expect(await screen.findByText(/a string holds invalid UTF-8/)).toBeTruthy();
    expect(screen.getByText(/1 byte is not valid UTF-8/)).toBeTruthy();
  });

  it('shows bytes that are no text in hexadecimal', async () => {
    render(<ResultView bytes={Uint8Array.from([0, 1, 0x41, 0xff])} />);
    const region = await screen.findByRole('region', { name: /hexadecimal/ });
    await screen.findByText(/00 01 41 ff/);
    expect(region.textContent).toContain('..A.');
  });

  it('shows a picture by a blob, which is let go of', async () => {
    const made = vi.spyOn(URL, 'createObjectURL').mockReturnValue('blob:x');
    const revoked = vi.spyOn(URL, 'revokeObjectURL');
    const gif = Uint8Array.from('GIF89a\x10\0\x20\0', (c) => c.charCodeAt(0));
    const { unmount } = render(<ResultView bytes={gif} />);
    expect((await screen.findByRole('img')).getAttribute('src')).toBe('blob:x');
    expect((made.mock.calls[0]![0] as Blob).type).toBe('image/gif');
    unmount();
    expect(revoked).toHaveBeenCalledWith('blob:x');
  });

  it('shows no picture whose size would fill the memory', async () => {
    const gif = Uint8Array.from('GIF89a\xff\xff\xff\xff', (c) => c.charCodeAt(0));
    render(<ResultView bytes={gif} />);
    expect((await screen.findByRole('alert')).textContent).toContain('65535 by 65535');
    expect(screen.queryByRole('img')).toBeNull();
  });

  it('shows SVG as text, and as a picture only when asked', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>';
    const { container } = render(<ResultView bytes={encode(svg)} />);
    expect((await screen.findByRole('region', { name: 'Text' })).textContent).toBe(svg);
    expect(container.querySelector('svg, script')).toBeNull();
    const made = vi.spyOn(URL, 'createObjectURL').mockReturnValue('blob:svg');
    await userEvent.click(screen.getByRole('tab', { name: 'Picture' }));
    expect((await screen.findByRole('img')).getAttribute('src')).toBe('blob:svg');
    expect((made.mock.calls[0]![0] as Blob).type).toBe('image/svg+xml');
    expect(container.querySelector('svg, script')).toBeNull();
  });

  it('shows the first part of a long text, and more on demand', async () => {
    const bytes = new Uint8Array(2.5 * 2 ** 20).fill(0x61);
    render(<ResultView bytes={bytes} />);
    const region = await screen.findByRole('region', { name: 'Text' });
    expect(region.textContent).toHaveLength(2 ** 20);
    await userEvent.click(screen.getByRole('button', { name: 'Show more' }));
    expect(region.textContent).toHaveLength(2 * 2 ** 20);
    await userEvent.click(screen.getByRole('button', { name: 'Show more' }));
    expect(region.textContent).toHaveLength(bytes.length);
    expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull();
  });

  it('saves the very bytes that it was given', async () => {
    const saved: Blob[] = [];
    vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => `blob:${saved.push(blob as Blob)}`);
    const bytes = Uint8Array.from([0xff, 0, 0x0d, 0x0a, 0x80]);
    render(<ResultView bytes={bytes} name="../evil" />);
    await userEvent.click(screen.getByRole('button', { name: 'Download' }));
    expect(new Uint8Array(await saved[0]!.arrayBuffer())).toEqual(bytes);
    expect(saved[0]!.type).toBe('application/octet-stream');
  });

  it('shows the new result when it is given another', async () => {
    const { rerender } = render(<ResultView bytes={encode('first')} />);
    await screen.findByText('first');
    rerender(<ResultView bytes={encode('[1,2,3]')} />);
    expect(await screen.findByRole('tree')).toBeTruthy();
    expect(screen.queryByText('first')).toBeNull();
  });

  it('goes through its views by keyboard', async () => {
    render(<ResultView bytes={encode('[1,2,3]')} />);
    const first = await screen.findByRole('tab', { name: 'JSON' });
    first.focus();
    await userEvent.keyboard('{ArrowRight}');
    expect(screen.getByRole('tab', { name: 'Table' }).getAttribute('aria-selected')).toBe('true');
    expect(document.activeElement?.textContent).toBe('Table');
    await userEvent.keyboard('{End}');
    expect(document.activeElement?.textContent).toBe('Bytes');
    await userEvent.keyboard('{ArrowRight}');
    expect(document.activeElement?.textContent).toBe('JSON');
  });
});
