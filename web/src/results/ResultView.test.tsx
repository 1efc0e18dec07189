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
});
