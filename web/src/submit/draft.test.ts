import { describe, expect, it } from 'vitest';
import { commandOf, inputsOf, loadDraft, newDraft, problemsOf, requestOf, saveDraft, wordsOf } from './draft';

const draft = (part = {}) => ({ ...newDraft('python'), inputKind: 'none' as const, map: false, ...part });
const problems = (part = {}) => Object.keys(problemsOf('python', draft(part), 0, false));

describe('drafts', () => {
  it('outlast a reload, each language its own', () => {
    saveDraft('python', draft({ source: 'print(1)', fee: '2' }));
    expect(loadDraft('python')).toMatchObject({ source: 'print(1)', fee: '2' });
    expect(loadDraft('javascript').source).toContain('std.in');
  });
  it('that do not read are the default ones', () => {
    for (const text of ['', '{', 'null', '[]', '{"source": 5, "map": "yes", "inputKind": "evil"}']) {
      localStorage.setItem('meshwork.draft.python', text);
      const found = loadDraft('python');
      expect(found.source).toBe(newDraft('python').source);
      expect(typeof found.map).toBe('boolean');
      expect(['none', 'json']).toContain(found.inputKind);
    }
  });
});

describe('problemsOf', () => {
  it('has none with the templates', () => {
    for (const language of ['python', 'javascript', 'wat'] as const)
      expect(problemsOf(language, newDraft(language), 0, false)).toEqual({});
  });
  it('names each field that is not right', () => {
    expect(problems({ source: ' ' })).toEqual(['source']);
    expect(problems({ fee: '-1' })).toEqual(['fee']);
    expect(problems({ verifiers: '64' })).toEqual(['verifiers']);
    expect(problems({ fuel: '1e9' })).toEqual(['fuel']);
    expect(problems({ memory: '0' })).toEqual(['memory']);
    expect(problems({ sample: 'NaN' })).toEqual(['sample']);
    expect(problems({ runSeconds: '1.5' })).toEqual(['runSeconds']);
    expect(problems({ label: 'ü'.repeat(65) })).toEqual(['label']);
    expect(problems({ inputKind: 'json', input: '{' })).toEqual(['input']);
    expect(problems({ inputKind: 'cids', input: 'bafy!' })).toEqual(['input']);
    expect(problems({ map: true })).toEqual(['input']);
    expect(problems({ inputKind: 'files', map: true })).toEqual(['files']);
    expect(Object.keys(problemsOf('wasm', draft(), 0, false))).toEqual(['module']);
  });
});

describe('a fold', () => {
  const reduce = 'import sys\nprint(sum(map(int, sys.stdin)))\n';
  const sent = (language: 'python' | 'wasm', part: object) =>
    requestOf(language, draft({ reduce, ...part }), { source: 'x' }, []);
  it('is sent with a function that runs more than once', () => {
    expect(sent('python', { map: true })).toMatchObject({ reduce: { language: 'python', source: reduce } });
    expect(commandOf('python', draft({ reduce, map: true }), [])).toContain('--map --reduce reduce.py');
  });
  it('is not where there is one result, no source or nothing in it', () => {
    for (const body of [sent('python', {}), sent('wasm', { map: true }), sent('python', { map: true, reduce: ' ' })])
      expect(body).not.toHaveProperty('reduce');
    expect(commandOf('python', draft({ reduce }), [])).not.toContain('--reduce');
  });
  it('has a bound', () => {
    expect(problems({ reduce: 'x'.repeat((1 << 20) + 1) })).toEqual(['reduce']);
  });
});

describe('inputsOf', () => {
  it('is one input, or one for each line or element', () => {
    expect(inputsOf(draft({ inputKind: 'text', input: 'a\n\nb\n' })).inputs).toEqual([{ text: 'a\n\nb\n' }]);
    expect(inputsOf(draft({ inputKind: 'text', input: 'a\n\nb\n', map: true })).inputs).toEqual([
      { text: 'a' },
      { text: 'b' },
    ]);
    expect(inputsOf(draft({ inputKind: 'json', input: '[1, {"a": 2}]', map: true })).inputs).toEqual([
      { text: '1' },
      { text: '{"a":2}' },
    ]);
    const cid = `b${'a'.repeat(58)}`;
    expect(inputsOf(draft({ inputKind: 'cids', input: `cid:${cid}` })).inputs).toEqual([cid]);
  });
});

describe('requests and commands', () => {
  it('say the same', () => {
    const one = draft({
      fee: '0.1',
      verifiers: '3',
      sample: '50',
      args: 'a "b c"',
      label: "it's",
      inputKind: 'text',
      input: 'x',
      runSeconds: '9',
    });
    expect(requestOf('python', one, { source: 'print(1)' }, [{ text: 'x' }])).toEqual({
      function: { language: 'python', source: 'print(1)', args: ['a', 'b c'] },
      inputs: [{ text: 'x' }],
      map: false,
      label: "it's",
      fee: 100000,
      verifiers: 3,
      sample_per_mille: 500,
      limits: { run_ms: 9000 },
    });
    expect(commandOf('python', one, [])).toBe(
      "mesh run main.py -i input.txt --label 'it'\\''s' --fee 100000 --verifiers 3 --sample 0.5 --timeout run=9 -- a 'b c'",
    );
  });
  it('part words as a shell does', () => {
    expect(wordsOf(`  a 'b  c' "d" `)).toEqual(['a', 'b  c', 'd']);
  });
});
