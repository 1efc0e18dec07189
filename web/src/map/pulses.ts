import { useEffect, useRef, useState } from 'react';

export interface Activity {
  peer: string;
  /** As an event has it (RFC 3339), or in milliseconds. */
  time: string | number;
  kind: string;
}

export interface Pulse {
  key: number;
  peer: string;
  kind: string;
}

const MAX_PULSES = 64;
export const PULSE_MS = 1400;

const keyOf = ({ peer, time, kind }: Activity) => JSON.stringify([peer, time, kind]);

/** What of a list was not in the one before; the first list is all old. */
export function freshActivity(before: ReadonlySet<string> | null, activity: readonly Activity[]): Activity[] {
  return before === null ? [] : activity.filter((one) => !before.has(keyOf(one)));
}

export function activityKeys(activity: readonly Activity[]): Set<string> {
  return new Set(activity.map(keyOf));
}

/** The pulses to show now: one per peer at a time, each for a moment. */
export function usePulses(activity: readonly Activity[]): readonly Pulse[] {
  const seen = useRef<Set<string> | null>(null);
  const next = useRef(0);
  const [pulses, setPulses] = useState<readonly Pulse[]>([]);
  const timers = useRef(new Set<ReturnType<typeof setTimeout>>());
  useEffect(() => {
    const fresh = freshActivity(seen.current, activity);
    seen.current = activityKeys(activity);
    const byPeer = new Map(fresh.map(({ peer, kind }) => [peer, kind]));
    if (byPeer.size === 0) return;
    const made = [...byPeer].slice(-MAX_PULSES).map(([peer, kind]) => ({ key: (next.current += 1), peer, kind }));
    const keys = new Set(made.map((pulse) => pulse.key));
    setPulses((old) => [...old.filter((pulse) => !byPeer.has(pulse.peer)), ...made].slice(-MAX_PULSES));
    const timer = setTimeout(() => {
      timers.current.delete(timer);
      setPulses((old) => old.filter((pulse) => !keys.has(pulse.key)));
    }, PULSE_MS);
    timers.current.add(timer);
  }, [activity]);
  useEffect(() => {
    const running = timers.current;
    return () => running.forEach((timer) => clearTimeout(timer));
  }, []);
  return pulses;
}
