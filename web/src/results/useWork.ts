import { useEffect, useState } from 'react';

import { textOf } from '../lib/errors';
import { inSlices, type Work } from './work';

export type Progress<T> = { state: 'busy' } | { state: 'done'; value: T } | { state: 'failed'; message: string };

const BUSY = { state: 'busy' } as const;

/** Runs work in slices whenever `key` changes; what an earlier key began is given up. */
export function useWork<T>(make: () => Work<T>, key: readonly unknown[]): Progress<T> {
  const [made, setMade] = useState<{ key: readonly unknown[]; progress: Progress<T> }>({ key, progress: BUSY });
  useEffect(() => {
    const abort = new AbortController();
    const settle = (progress: Progress<T>) => {
      if (!abort.signal.aborted) setMade({ key, progress });
    };
    inSlices(make(), abort.signal).then(
      (value) => settle({ state: 'done', value }),
      (error: unknown) => settle({ state: 'failed', message: textOf(error) }),
    );
    return () => abort.abort();
    // The key says all that the work depends on.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, key);
  const isCurrent = made.key.length === key.length && made.key.every((part, i) => Object.is(part, key[i]));
  return isCurrent ? made.progress : BUSY;
}
