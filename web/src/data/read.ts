// Reading something once for a page, and again when what it depends on changes.
import { Unauthorized } from 'meshwork';
import { useCallback, useEffect, useEffectEvent, useState } from 'react';
import { useSession } from '../app/session';

export interface Reading<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  readonly again: () => void;
}

/**
 * `key` names what is read; null reads nothing. It is read again when `version` changes. What was read stays until the
 * next answer for the same key.
 */
export function useRead<T>(
  key: string | null,
  read: (signal: AbortSignal) => Promise<T>,
  version: unknown = null,
): Reading<T> {
  const { fail } = useSession();
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{ key: string | null; data?: T; error?: unknown; loading: boolean }>({
    key: null,
    loading: true,
  });
  const start = useEffectEvent((signal: AbortSignal) => read(signal));
  const report = useEffectEvent((error: unknown) => {
    if (error instanceof Unauthorized) fail(error);
  });
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    setState((before) => ({ ...(before.key === key ? before : { key }), loading: true }));
    start(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) setState({ key, data, loading: false });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        report(error);
        setState((before) => ({ ...before, error, loading: false }));
      },
    );
    return () => abort.abort();
  }, [key, turn, version]);
  const again = useCallback(() => setTurn((value) => value + 1), []);
  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    error: current ? state.error : undefined,
    loading: key !== null && (!current || state.loading),
    again,
  };
}

/**
 * Calls back every `ms` while the page is visible: only for what the node emits no events for (load and round trips of
 * peers). Never faster than every five seconds.
 */
export function useSlowRefresh(callback: () => void, ms = 5000): void {
  const call = useEffectEvent(callback);
  useEffect(() => {
    const timer = setInterval(
      () => {
        if (!document.hidden) call();
      },
      Math.max(5000, ms),
    );
    return () => clearInterval(timer);
  }, [ms]);
}

/** Something that is done by a button: whether it runs, and what went wrong. */
export function useAction<A extends unknown[]>(
  action: (...args: A) => Promise<void>,
): { run: (...args: A) => void; busy: boolean } {
  const { fail } = useSession();
  const [busy, setBusy] = useState(false);
  const run = (...args: A) => {
    if (busy) return;
    setBusy(true);
    action(...args)
      .catch(fail)
      .finally(() => setBusy(false));
  };
  return { run, busy };
}
