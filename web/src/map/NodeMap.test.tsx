// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';

import NodeMap from './NodeMap';
import { PULSE_MS } from './pulses';
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

  it('lets the link of a peer pulse when something new happens, for a moment', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const mesh = meshOf(3);
      const event = (at: number) => ({ peer: mesh.peers[at]!.peer, time: at, kind: 'run' });
      const { container, rerender } = render(<NodeMap {...mesh} activity={[event(0)]} />);
      const pulses = () => container.querySelectorAll('.nm-pulse').length;
      expect(pulses()).toBe(0);
      rerender(<NodeMap {...mesh} activity={[event(0), event(1), event(2)]} />);
      expect(pulses()).toBe(2);
      rerender(<NodeMap {...mesh} activity={[...[event(0), event(1), event(2)], { ...event(1), peer: 'nobody' }]} />);
      expect(pulses()).toBe(2);
      act(() => vi.advanceTimersByTime(PULSE_MS));
      expect(pulses()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('asks for no more frames when it rests', () => {
    const waiting: FrameRequestCallback[] = [];
    vi.spyOn(window, 'requestAnimationFrame').mockImplementation((callback) => waiting.push(callback));
    const mesh = meshOf(5);
    render(<NodeMap {...mesh} activity={[]} />);
    let frames = 0;
    act(() => {
      for (let next = waiting.shift(); next && frames < 10_000; next = waiting.shift(), frames += 1) next(0);
    });
    expect(frames).toBeGreaterThan(50);
    expect(frames).toBeLessThan(500);
    expect(waiting).toHaveLength(0);
  });

  it('says which spots of the world have peers', async () => {
    const mesh = meshOf(2);
    const places = { [mesh.peers[0]!.peer]: { lat: 48, lon: 11 }, [mesh.peers[1]!.peer]: { lat: 999, lon: 0 } };
    render(<NodeMap {...mesh} activity={[]} places={places} />);
    await userEvent.click(screen.getByRole('tab', { name: 'World' }));
    expect(await screen.findByText(/1 node states a place/)).toBeTruthy();
    expect(screen.getByRole('img', { name: /48.0°, 11.0°/ })).toBeTruthy();
  });

  it('sorts its table by what one asks for', async () => {
    const mesh = meshOf(30);
    render(<NodeMap {...mesh} activity={[]} />);
    await userEvent.click(screen.getByRole('tab', { name: 'Table' }));
    await userEvent.click(screen.getByRole('button', { name: 'Cores' }));
    await userEvent.click(screen.getByRole('button', { name: /Cores/ }));
    expect(screen.getByRole('columnheader', { name: /Cores/ }).getAttribute('aria-sort')).toBe('descending');
    const most = Math.max(...mesh.peers.map((peer) => peer.resources!.cores));
    expect(within(screen.getAllByRole('row')[1]!).getAllByRole('cell')[4]!.textContent).toBe(String(most));
  });
});
