// What every page has: the node's client, the live state, and a place for messages.
import { Mesh, MeshError } from 'meshwork';
import { createContext, use, useCallback, useEffect, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { sourceOf } from '../api/source';
import { Live } from '../data/live';
import type { State } from '../data/state';
import { initialState } from '../data/state';
import { Store, useSelected } from '../data/store';
import { textOf } from '../lib/errors';

export interface Message {
  readonly id: number;
  readonly kind: 'error' | 'done';
  readonly text: string;
}

export interface Session {
  readonly mesh: Mesh;
  readonly live: Live;
  readonly store: Store<State>;
  readonly messages: readonly Message[];
  readonly say: (kind: Message['kind'], text: string) => void;
  readonly fail: (error: unknown) => void;
  readonly dismiss: (id: number) => void;
}

const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new Error('a page was rendered outside of a session');
  return session;
}

export function useLive<S>(select: (state: State) => S): S {
  return useSelected(useSession().store, select);
}

const maxMessages = 5;
let nextMessage = 1;

export function SessionProvider({
  token,
  onDenied,
  children,
}: {
  token: string;
  onDenied: () => void;
  children: ReactNode;
}) {
  const [messages, setMessages] = useState<readonly Message[]>([]);
  const say = useCallback((kind: Message['kind'], text: string) => {
    setMessages((all) =>
      [...all.filter((message) => message.text !== text), { id: nextMessage++, kind, text }].slice(-maxMessages),
    );
  }, []);
  const dismiss = useCallback((id: number) => setMessages((all) => all.filter((message) => message.id !== id)), []);
  const fail = useCallback(
    (error: unknown) => {
      if (error instanceof DOMException && error.name === 'AbortError') return;
      if (error instanceof MeshError && error.kind === 'unauthorized') return onDenied();
      // That the node is away is said once, in the banner.
      if (error instanceof MeshError && error.kind === 'unreachable') return;
      say('error', textOf(error));
    },
    [onDenied, say],
  );
  const { mesh, live, store } = useMemo(() => {
    const options = { url: location.origin, token };
    const client = new Mesh(options);
    const state = new Store(initialState);
    return { mesh: client, store: state, live: new Live(sourceOf(client, new Mesh(options)), state, fail) };
  }, [token, fail]);
  useEffect(() => {
    live.start();
    return () => live.stop();
  }, [live]);
  const session = useMemo(
    () => ({ mesh, live, store, messages, say, fail, dismiss }),
    [mesh, live, store, messages, say, fail, dismiss],
  );
  return <SessionContext value={session}>{children}</SessionContext>;
}

/** For tests of pages. */
export function SessionValue({ value, children }: { value: Session; children: ReactNode }) {
  return <SessionContext value={value}>{children}</SessionContext>;
}
