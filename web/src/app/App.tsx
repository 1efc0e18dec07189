// Who has no token sees how to get one; who has sees the dashboard. A token that holds no more leads back here, and
// drafts stay in the browser meanwhile.
import { useCallback, useEffect, useState } from 'react';
import { SessionProvider } from './session';
import { Shell } from './Shell';
import { dropToken, keepToken, takeToken } from './token';
import { TokenPage } from './TokenPage';

export function App() {
  const [token, setToken] = useState(takeToken);
  const [denied, setDenied] = useState(false);
  useEffect(() => {
    // A link with another token, pasted into the address bar of this very tab, loads nothing anew.
    const onHash = () => {
      const taken = takeToken();
      if (taken === null) return;
      setDenied(false);
      setToken(taken);
    };
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);
  const onDenied = useCallback(() => {
    dropToken();
    setDenied(true);
    setToken(null);
  }, []);
  const onToken = (next: string) => {
    keepToken(next);
    setDenied(false);
    setToken(next);
  };
  if (token === null) return <TokenPage denied={denied} onToken={onToken} />;
  return (
    <SessionProvider key={token} token={token} onDenied={onDenied}>
      <Shell />
    </SessionProvider>
  );
}
