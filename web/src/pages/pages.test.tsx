import { act, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import axe from 'axe-core';
import { describe, expect, it, vi } from 'vitest';
import { App } from '../app/App';
import { TokenPage } from '../app/TokenPage';
import { withDetail, withJobs, withShards, initialState } from '../data/state';
import { LogLines } from '../job/LogView';
import { ReportView } from '../job/Proof';
import { ShardsView } from '../job/ShardsView';
import { event, job, makeSession, shard } from '../testing';
import Content from './Content';
import JobPage from './Job';
import { Jobs } from './Jobs';
import Wallet from './Wallet';

const hostile = '<script>alert(1)</script>\u202egnp.exe\u001b[31m';
const shown = '<script>alert(1)</script>⟨U+202E⟩gnp.exe␛[31m';

async function serious(container: Element): Promise<string[]> {
  // Colours need a layout, which happy-dom has not.
  const { violations } = await axe.run(container, {
    rules: { 'color-contrast': { enabled: false }, region: { enabled: false } },
  });
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id);
}

describe('App', () => {
  it('asks for a token when there is none, and takes one that is pasted', async () => {
    const onToken = vi.fn();
    const { container } = render(<TokenPage denied={false} onToken={onToken} />);
    const user = userEvent.setup();
    await user.type(screen.getByLabelText('Link or token'), 'nothing');
    await user.click(screen.getByRole('button', { name: 'Open' }));
    expect(screen.getByText(/holds no token/)).toBeTruthy();
    await user.clear(screen.getByLabelText('Link or token'));
    await user.type(screen.getByLabelText('Link or token'), `http://127.0.0.1:1/#token=${'a'.repeat(43)}`);
    await user.click(screen.getByRole('button', { name: 'Open' }));
    expect(onToken).toHaveBeenCalledWith('a'.repeat(43));
    expect(await serious(container)).toEqual([]);
  });
  it('goes back there when the node takes the token no more, and keeps drafts', async () => {
    sessionStorage.setItem('meshwork.token', 'b'.repeat(43));
    localStorage.setItem('meshwork.draft.python', '{"source":"mine"}');
    vi.stubGlobal('fetch', async () => Response.json({ title: 'Unauthorised', status: 401 }, { status: 401 }));
    class Refused {
      onclose: ((event: { code: number; reason: string }) => void) | null = null;
      constructor() {
        queueMicrotask(() => this.onclose?.({ code: 1006, reason: '' }));
      }
      close() {}
    }
    vi.stubGlobal('WebSocket', Refused);
    render(<App />);
    expect(await screen.findByText('The node does not take this token')).toBeTruthy();
    expect(sessionStorage.getItem('meshwork.token')).toBeNull();
    expect(localStorage.getItem('meshwork.draft.python')).toBe('{"source":"mine"}');
    vi.unstubAllGlobals();
  });
});

describe('Jobs', () => {
  it('shows hostile labels as text, and filters', async () => {
    const all = [
      job({ id: 'bafya', label: hostile }),
      job({ id: 'bafyb', label: 'words', phase: 'done', ended: true }),
    ];
    const { Wrapper } = makeSession(withJobs(initialState, all));
    const { container } = render(<Jobs />, { wrapper: Wrapper });
    expect(container.querySelector('script')).toBeNull();
    expect(screen.getByText(shown)).toBeTruthy();
    await userEvent.setup().click(screen.getByRole('tab', { name: /Done/ }));
    expect(screen.queryByText(shown)).toBeNull();
    expect(screen.getByText('words')).toBeTruthy();
    expect(await serious(container)).toEqual([]);
  });
});

describe('ShardsView', () => {
  it('renders what is seen of ten thousand', () => {
    const { Wrapper } = makeSession({});
    const shards = Array.from({ length: 10_000 }, (_, number) => shard(number));
    render(<ShardsView job={job({ shards: 10_000 })} shards={shards} />, { wrapper: Wrapper });
    const table = screen.getByRole('table', { name: 'Shards' });
    expect(table.getAttribute('aria-rowcount')).toBe('10001');
    const rows = within(table).getAllByRole('row').length;
    expect(rows).toBeGreaterThan(5);
    expect(rows).toBeLessThan(60);
  });
});

describe('JobPage', () => {
  it('follows the state as events change it', async () => {
    const state = withShards(
      withDetail(withJobs(initialState, [job({ notes: [hostile] })]), 'bafyjob'),
      'bafyjob',
      [0, 1, 2, 3].map((number) => shard(number)),
    );
    const { Wrapper, store } = makeSession(state);
    const { container } = render(<JobPage id="bafyjob" />, { wrapper: Wrapper });
    expect(screen.getByText(shown)).toBeTruthy();
    expect(screen.getByText('4 waiting')).toBeTruthy();
    const { withEvents } = await import('../data/state');
    act(() =>
      store.update(
        (now) => withEvents(now, [event(1, 'job.award', { job: 'bafyjob', peer: 'p', shards: [[0, 3]] })])[0],
      ),
    );
    expect(screen.getByText('3 running')).toBeTruthy();
    expect(await serious(container)).toEqual([]);
  });
});

describe('LogLines', () => {
  it('colours, searches, and shows hostile text as text', async () => {
    const { Wrapper } = makeSession({});
    const lines = [hostile, '\u001b[32mgreen\u001b[0m'].map((text, number) => ({ number, shard: 0, peer: null, text }));
    const { container } = render(<LogLines id="bafyjob" many={false} lines={lines} leftOut={0} />, {
      wrapper: Wrapper,
    });
    expect(container.querySelector('script')).toBeNull();
    expect(screen.getByText('<script>alert(1)</script>⟨U+202E⟩gnp.exe')).toBeTruthy();
    expect(screen.getByText('green').className).toBe('ansi-2');
    await userEvent.setup().type(screen.getByLabelText('Search the log'), 'green');
    expect(screen.getByText('1 of 2 lines')).toBeTruthy();
  });
});

describe('Wallet', () => {
  it('says that a federation has no ledger', async () => {
    const problem = {
      type: 'about:blank',
      title: 'Not found',
      status: 404,
      detail: 'no-ledger: none',
      code: 'no-ledger',
    };
    const { Wrapper } = makeSession({}, () => Response.json(problem, { status: 404 }));
    render(<Wallet />, { wrapper: Wrapper });
    expect(await screen.findByText("This node's federation has no ledger")).toBeTruthy();
  });
});

describe('ReportView', () => {
  const report = {
    holds: true,
    roots: [],
    shards: [],
    contents: new Map(),
    statements: [{ what: hostile, holds: false, why: '' }],
  };
  it('does not call a proof of another job a proof of this one', () => {
    render(<ReportView report={report} job={job()} />);
    expect(screen.getByText('The bundle holds, but it is not of this job.')).toBeTruthy();
    expect(screen.getByText(shown, { exact: false })).toBeTruthy();
  });
  it('says when it does not hold', () => {
    render(<ReportView report={{ ...report, holds: false }} job={job()} />);
    expect(screen.getByText('The proof does not hold.')).toBeTruthy();
  });
});

describe('Content', () => {
  it('shares a folder by its whole path, for whom one says, and no longer', async () => {
    const asked: string[] = [];
    let added = [{ path: `/srv/${hostile}`, cid: 'bafyadded', files: 3, bytes: 1536, visibility: null }];
    const { Wrapper, fetch } = makeSession({});
    fetch.mockImplementation(async (input, init) => {
      const request = new Request(input, init);
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === '/api/v1/pins') return Response.json({ pins: [] });
      if (pathname === '/api/v1/manifest') return Response.json({ assets: [], files: 0, bytes: 0 });
      if (request.method === 'GET') return Response.json(added);
      asked.push(`${request.method} ${[...searchParams].map((pair) => pair.join('=')).join('&')}`);
      if (request.method === 'DELETE') added = [];
      return Response.json(request.method === 'DELETE' ? { path: 'x' } : { cid: 'bafynew', bytes: 1 });
    });
    const { container } = render(<Content />, { wrapper: Wrapper });
    const user = userEvent.setup();
    expect(await screen.findByText(`/srv/${shown}`)).toBeTruthy();
    await user.type(screen.getByLabelText('File or folder of this machine'), 'texts');
    expect(screen.getByText(/The whole path/)).toBeTruthy();
    expect(screen.getByRole('button', { name: 'Share' })).toHaveProperty('disabled', true);
    await user.clear(screen.getByLabelText('File or folder of this machine'));
    await user.type(screen.getByLabelText('File or folder of this machine'), '/srv/more texts');
    await user.selectOptions(screen.getByLabelText('For'), 'lan');
    expect(screen.getByText("mesh assets add '/srv/more texts' --visibility lan")).toBeTruthy();
    await user.click(screen.getByRole('button', { name: 'Share' }));
    await user.click(screen.getByRole('button', { name: 'Share no longer' }));
    expect(await screen.findByText(/Nothing was added/)).toBeTruthy();
    expect(asked).toEqual(['POST path=/srv/more texts&visibility=lan', `DELETE path=/srv/${hostile}`]);
    expect(await serious(container)).toEqual([]);
  });
});
