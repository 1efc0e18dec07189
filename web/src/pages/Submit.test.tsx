import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import axe from 'axe-core';
import { describe, expect, it, vi } from 'vitest';
import { initialState, withJobs } from '../data/state';
import type { GuestError } from '../lib/traceback';
import type { TaskPlan } from '../data/model';
import { job, makeSession } from '../testing';
import Submit from './Submit';

// Monaco needs a layout, which happy-dom has not; what it is told is what counts here.
vi.mock('../submit/Editor', () => ({
  default: ({
    value,
    onValue,
    error,
  }: {
    value: string;
    onValue: (text: string) => void;
    error: GuestError | null;
  }) => (
    <>
      <textarea aria-label="Source code" value={value} onChange={(event) => onValue(event.target.value)} />
      <output>{error ? `marked ${error.frames[0]?.line}` : 'no mark'}</output>
    </>
  ),
}));

const accepted = { id: `b${'a'.repeat(58)}` };

function open(answer: (request: Request) => unknown) {
  const bodies: unknown[] = [];
  const made = makeSession({}, async (request: Request) => answer(request));
  made.fetch.mockImplementation(async (input, init) => {
    const request = new Request(input, init);
    if (request.method === 'POST') bodies.push(await request.clone().json());
    const found = await answer(request);
    return found instanceof Response ? found : Response.json(found);
  });
  return { ...made, bodies, ...render(<Submit />, { wrapper: made.Wrapper }) };
}

describe('Submit', () => {
  it('sends nothing until the fields are right, and says which are not', async () => {
    const { bodies, container } = open(() => accepted);
    const user = userEvent.setup();
    await user.type(screen.getByLabelText('Verifiers'), '99');
    await user.click(screen.getByRole('button', { name: 'Run' }));
    expect(screen.getByText(/from 0 to 63/)).toBeTruthy();
    expect(screen.getByRole('alert').textContent).toMatch(/not right/);
    expect(bodies).toEqual([]);
    await user.clear(screen.getByLabelText('Verifiers'));
    await user.type(screen.getByLabelText('Verifiers'), '3');
    await user.click(screen.getByRole('button', { name: 'Run' }));
    expect(await screen.findByText('Watch it')).toBeTruthy();
    expect(bodies).toMatchObject([{ verifiers: 3, map: false, dry_run: false, function: { language: 'python' } }]);
    const { violations } = await axe.run(container, {
      rules: { 'color-contrast': { enabled: false }, region: { enabled: false } },
    });
    expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);
  });
  it('says in a dry run who could take the task, and what the others lack', async () => {
    const plan: TaskPlan = {
      function: 'f',
      description: 'main.py',
      inputs: 'i',
      shards: 1,
      bytes: 0,
      reduce: null,
      fee_total: 0,
      verifiers: null,
      value: 1,
      sample_per_mille: 1000,
      sealed: false,
      scope: { memory_mb: 512, fuel: 1, gpu_flops: 0, io_mb: 1 },
      limits: { fetch_ms: 1, run_ms: 1, nonce_ms: 1, reveal_ms: 1, total_ms: 1 },
      peers: [
        { peer: 'able', lacks: null },
        { peer: 'small', lacks: 'memory: 512 MiB wanted, 256 \u202ethere' },
      ],
    };
    const { bodies } = open((request) => {
      if (request.method === 'POST') return plan;
      if (request.url.endsWith('/peers')) return [];
      return Response.json(
        { type: 'about:blank', title: 'Not found', status: 404, code: 'no-ledger', detail: 'none' },
        { status: 404 },
      );
    });
    await userEvent.setup().click(screen.getByRole('button', { name: 'Dry run' }));
    expect(await screen.findByText(/1 of 2 peers could take it/)).toBeTruthy();
    expect(screen.getByText(/no: memory: 512 MiB wanted, 256 ⟨U\+202E⟩there/)).toBeTruthy();
    expect(bodies).toMatchObject([{ dry_run: true }]);
  });
  it('keeps the draft of each language', async () => {
    const first = open(() => accepted);
    const user = userEvent.setup();
    const program = await screen.findByLabelText('Source code');
    await user.clear(program);
    await user.type(program, 'print(1)');
    await user.click(screen.getByRole('tab', { name: 'JavaScript' }));
    expect(((await screen.findByLabelText('Source code')) as HTMLTextAreaElement).value).toContain('std.in');
    await user.click(screen.getByRole('tab', { name: 'Python' }));
    first.unmount();
    open(() => accepted);
    expect(((await screen.findByLabelText('Source code')) as HTMLTextAreaElement).value).toBe('print(1)');
  });
  it('marks where a text does not parse, by what the node says', async () => {
    const detail =
      'the text: The WebAssembly text does not parse: expected `)` --> <anon>:1:14 | 1 | (module (func | ^';
    open(() => Response.json({ type: 'about:blank', title: 'Bad request', status: 400, detail }, { status: 400 }));
    const user = userEvent.setup();
    await user.click(screen.getByRole('tab', { name: 'WAT' }));
    await screen.findByLabelText('Source code');
    await user.click(screen.getByRole('button', { name: 'Run' }));
    expect(await screen.findByText('marked 1')).toBeTruthy();
    expect(screen.getByText(/Line 1: expected/)).toBeTruthy();
  });
  it('marks the line of a traceback once the job has failed', async () => {
    const log =
      'Traceback (most recent call last):\n  File "/program/main.py", line 2, in <module>\nValueError: <b>no</b>\n';
    const line = `${JSON.stringify({ shard: 0, peer: null, data: `m${btoa(log).replace(/=+$/, '')}` })}\n`;
    const { store } = open((request) => (request.url.includes('/logs') ? new Response(line) : accepted));
    store.update((state) => ({
      ...withJobs(initialState, [job({ id: accepted.id, phase: 'failed', ended: true, failed_outcomes: 1 })]),
      connection: state.connection,
    }));
    await screen.findByLabelText('Source code');
    await userEvent.setup().click(screen.getByRole('button', { name: 'Run' }));
    expect(await screen.findByText('marked 2')).toBeTruthy();
    expect(screen.getByText(/Line 2: ValueError: <b>no<\/b>/)).toBeTruthy();
  });
  it('says why a job failed that names no line', async () => {
    const { store } = open((request) => (request.url.includes('/logs') ? new Response('') : accepted));
    const failure = 'guest-failed: out of fuel (raise it with --fuel)\u202e';
    store.update((state) => ({
      ...withJobs(initialState, [job({ id: accepted.id, phase: 'failed', ended: true, failed_outcomes: 1, failure })]),
      connection: state.connection,
    }));
    await screen.findByLabelText('Source code');
    await userEvent.setup().click(screen.getByRole('button', { name: 'Run' }));
    expect((await screen.findByRole('alert')).textContent).toMatch(
      /out of fuel .*--fuel\)⟨U\+202E⟩.* loop that never ends/,
    );
    expect(screen.getByText('no mark')).toBeTruthy();
  });
  it.each([
    [
      () => Response.json({ status: 413, detail: 'at most 9 bytes' }, { status: 413 }),
      /^a\.txt \(5 B\) was not taken: at most 9 bytes; the command line below/,
    ],
    [
      () => Response.json({ status: 507, detail: 'No space left' }, { status: 507 }),
      /^a\.txt \(5 B\) was not taken: No space left\.$/,
    ],
    [
      () => Promise.reject(new TypeError('Failed to fetch')),
      /^a\.txt \(5 B\) was not sent: the file has changed or gone/,
    ],
  ])('says by name which file did not come to the node', async (answer, text) => {
    const made = makeSession({});
    made.fetch.mockImplementation(async () => answer());
    render(<Submit />, { wrapper: made.Wrapper });
    const user = userEvent.setup();
    await user.selectOptions(screen.getByLabelText('The function reads'), 'files');
    await user.upload(screen.getByLabelText('Files'), new File(['bytes'], 'a.txt'));
    await user.click(screen.getByRole('button', { name: 'Run' }));
    await vi.waitFor(() => expect(made.session.fail).toHaveBeenCalled());
    expect(vi.mocked(made.session.fail).mock.calls.map(([error]) => (error as Error).message)).toEqual([
      expect.stringMatching(text),
    ]);
  });
});
