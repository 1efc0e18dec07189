import { describe, expect, it } from 'vitest';
import { event, job, peers, shard } from '../testing';
import { filtered } from './filter';
import { LogBuffer, maxLine, maxLines } from './log_buffer';
import { findLines } from './LogView';
import { countStates, filterShards, sharesOf } from './shards';
import { spansOf } from './timeline';

describe('filtered', () => {
  const jobs = [
    job({ id: 'bafya', label: 'Words' }),
    job({ id: 'bafyb', label: 'collatz', phase: 'done', ended: true, unverified: true }),
    job({ id: 'bafyc', label: '<script>', phase: 'failed', ended: true }),
  ];
  it('takes jobs by their state', () => {
    const ids = (group: Parameters<typeof filtered>[1]) => filtered(jobs, group, '').map((one) => one.id);
    expect(ids('all')).toHaveLength(3);
    expect(ids('active')).toEqual(['bafya']);
    expect(ids('done')).toEqual(['bafyb']);
    expect(ids('failed')).toEqual(['bafyc']);
    expect(ids('unverified')).toEqual(['bafyb']);
  });
  it('takes jobs by label or the beginning of their id', () => {
    expect(filtered(jobs, 'all', ' word ').map((one) => one.id)).toEqual(['bafya']);
    expect(filtered(jobs, 'all', 'bafyc').map((one) => one.label)).toEqual(['<script>']);
    expect(filtered(jobs, 'all', '(')).toEqual([]);
  });
});

describe('shards', () => {
  const shards = [
    shard(0, {
      state: 'accepted',
      worker: peers[0],
      decision: 'accepted',
      seats: [{ peer: peers[1], state: 'agreed' }],
    }),
    shard(1, { state: 'running', worker: peers[1] }),
    undefined,
  ];
  it('are counted by state and by node', () => {
    expect([...countStates(shards)]).toEqual([
      ['accepted', 1],
      ['running', 1],
      ['unread', 1],
    ]);
    expect(sharesOf(shards)).toEqual([
      { peer: peers[1], running: 1, finished: 0, failed: 0, verifies: 1 },
      { peer: peers[0], running: 0, finished: 1, failed: 0, verifies: 0 },
    ]);
  });
  it('are found by who runs or verifies them', () => {
    const of = (peer: string) => filterShards(shards, { state: '', peer, failedOnly: false }).map((one) => one.shard);
    expect(of(peers[1])).toEqual([0, 1]);
    expect(of(peers[0])).toEqual([0]);
  });
});

describe('spansOf', () => {
  const at = (ms: number) => new Date(Date.parse('2026-01-01T00:00:00.000Z') + ms).toISOString();
  it('is one span for each phase', () => {
    const moments = [
      event(1, 'job.phase', { phase: 'bidding', time: at(10) }),
      event(2, 'job.note'),
      event(3, 'job.phase', { phase: 'running', time: at(200) }),
      event(4, 'job.phase', { phase: 'done', time: at(1200) }),
    ];
    const spans = spansOf(job({ ended: true, phase: 'done', elapsed_ms: 1200 }), moments, 0);
    expect(spans.map((span) => [span.phase, span.to - span.from])).toEqual([
      ['bidding', 190],
      ['running', 1000],
    ]);
  });
  it('is one for all where the events are gone, and none for a time that is none', () => {
    expect(spansOf(job({ ended: true, phase: 'done', elapsed_ms: 500 }), [], 0)).toMatchObject([{ phase: 'done' }]);
    expect(spansOf(job({ created: 'no time' }), [], 0)).toEqual([]);
  });
});

describe('LogBuffer', () => {
  const texts = (buffer: LogBuffer) => buffer.view().map((line) => line.text);
  it('puts pieces of a line together, shard by shard', () => {
    const buffer = new LogBuffer();
    buffer.push(0, null, 'hel');
    buffer.push(1, null, 'other\n');
    buffer.push(0, null, 'lo\r\nnext');
    expect(texts(buffer)).toEqual(['other', 'hello', 'next']);
    buffer.push(0, null, ' line\n');
    expect(texts(buffer)).toEqual(['other', 'hello', 'next line']);
  });
  it('breaks a line that is too long, and lets the oldest go', () => {
    const buffer = new LogBuffer();
    buffer.push(0, null, 'x'.repeat(3 * maxLine));
    expect(texts(buffer).every((text) => text.length <= maxLine)).toBe(true);
    expect(texts(buffer).join('')).toHaveLength(3 * maxLine);
    buffer.forget(0);
    buffer.push(0, null, 'a\n'.repeat(maxLines + 10));
    expect(texts(buffer)).toHaveLength(maxLines);
    expect(buffer.leftOut).toBe(10);
  });
  it('forgets a shard whose log comes anew, and no other', () => {
    const buffer = new LogBuffer();
    buffer.push(0, null, 'old\nunended');
    buffer.push(1, null, 'other\n');
    buffer.forget(0);
    buffer.push(0, null, 'new\n');
    expect(texts(buffer)).toEqual(['other', 'new']);
  });
  it('is searched in what is seen, not in escapes', () => {
    const buffer = new LogBuffer();
    buffer.push(3, null, '\u001b[31mERR\u001b[0mor\nfine\n');
    expect(findLines(buffer.view(), 'error', '').map((line) => line.number)).toEqual([1]);
    expect(findLines(buffer.view(), '31m', '')).toEqual([]);
    expect(findLines(buffer.view(), '', '4')).toEqual([]);
    expect(findLines(buffer.view(), '', '3')).toHaveLength(2);
  });
});
