// Which jobs a list shows. Pure.
import type { Job } from '../data/model';

export const groups = ['all', 'active', 'done', 'failed', 'unverified'] as const;
export type Group = (typeof groups)[number];

export function inGroup(job: Job, group: Group): boolean {
  if (group === 'active') return !job.ended;
  if (group === 'done') return job.phase === 'done';
  if (group === 'failed') return job.phase === 'failed' || job.phase === 'stopped' || job.failed_outcomes > 0;
  if (group === 'unverified') return job.ended && job.unverified;
  return true;
}

export function matches(job: Job, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  return wanted === '' || job.label.toLowerCase().includes(wanted) || job.id.startsWith(wanted);
}

export function filtered(jobs: readonly Job[], group: Group, text: string): Job[] {
  return jobs.filter((job) => inGroup(job, group) && matches(job, text));
}
