import { useEffect, useState } from 'react';

const QUERY = '(prefers-reduced-motion: reduce)';

/** False where the user has asked for less motion. */
export function useMotion(): boolean {
  const [allowed, setAllowed] = useState(() => !window.matchMedia(QUERY).matches);
  useEffect(() => {
    const query = window.matchMedia(QUERY);
    const update = () => setAllowed(!query.matches);
    query.addEventListener('change', update);
    return () => query.removeEventListener('change', update);
  }, []);
  return allowed;
}
