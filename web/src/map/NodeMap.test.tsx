import { cleanup, fireEvent, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';

import NodeMap from './NodeMap';
import { meshOf, topologyOf } from './testing';

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

describe('NodeMap', () => {
  it('draws a node per peer and goes through them by keyboard, nearest first', async () => {
    const mesh = meshOf(20);
    const { container } = render(<NodeMap {...mesh} activity={[]} />);
    expect(container.querySelectorAll('.nm-link')).toHaveLength(20);
    const map = screen.getByRole('application');
    fireEvent.keyDown(map, { key: 'ArrowRight' });
    expect(within(map).getByRole('status').textContent).toContain('this node');
    fireEvent.keyDown(map, { key: 'ArrowRight' });
    const nearest = [...mesh.peers].sort((a, b) => a.rtt_us - b.rtt_us)[0]!;
    expect(within(map).getByRole('status').textContent).toContain(nearest.peer.slice(-8));
  });

  it('says that no peer states a place', async () => {
    render(<NodeMap {...meshOf(3)} activity={[]} />);
    await userEvent.click(screen.getByRole('tab', { name: 'World' }));
    expect(await screen.findByText(/No peer states a place/)).toBeTruthy();
  });

  it('shows names of strangers as text', async () => {
    const mesh = meshOf(1);
    const hostile = mesh.peers.map((peer) => ({
      ...peer,
      peer: '<img src=x onerror=alert(1)>\u202egnp',
      agent: '\u001b[31m<script>x</script>',
      found: '\u2066constructor',
    }));
    const { container } = render(<NodeMap topology={topologyOf(hostile)} peers={hostile} activity={[]} />);
    await userEvent.click(screen.getByRole('tab', { name: 'Table' }));
    expect(container.querySelector('img, script')).toBeNull();
    expect(screen.getByRole('table').textContent).toContain('␛[31m<script>x</script>');
    expect(screen.getByRole('table').textContent).toContain('⟨U+202E⟩');
  });
});
