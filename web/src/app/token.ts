// The node's token: it comes in the fragment of the link that `mesh up` prints, which no server and no log ever sees.
//
// It is kept for this tab (sessionStorage), so that a reload works, and taken out of the address bar and its history entry.
const key = 'meshwork.token';

const format = /^[A-Za-z0-9_-]{16,256}$/;

/** The token in a link, in its fragment alone, or by itself; null where there is none. */
export function tokenIn(text: string): string | null {
  const trimmed = text.trim();
  const fragment = /#(.*)$/s.exec(trimmed)?.[1];
  const token = fragment === undefined ? trimmed : new URLSearchParams(fragment).get('token');
  return token !== null && format.test(token) ? token : null;
}

/** Moves a token from the address bar to the tab's storage, and says which one holds. */
export function takeToken(): string | null {
  if (location.hash.includes('token=')) {
    const token = tokenIn(location.hash);
    history.replaceState(history.state, '', location.pathname + location.search);
    if (token !== null) keepToken(token);
  }
  const kept = sessionStorage.getItem(key);
  return kept !== null && format.test(kept) ? kept : null;
}

export function keepToken(token: string): void {
  sessionStorage.setItem(key, token);
}

export function dropToken(): void {
  sessionStorage.removeItem(key);
}
