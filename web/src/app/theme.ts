// Light, dark, or as the system has it. Kept for this browser.
import { useEffect, useState } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const key = 'meshwork.theme';

function kept(): Theme {
  const value = localStorage.getItem(key);
  return value === 'light' || value === 'dark' ? value : 'system';
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(kept);
  useEffect(() => {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  const choose = (next: Theme) => {
    localStorage.setItem(key, next);
    setTheme(next);
  };
  return [theme, choose];
}

/** Whether the page is dark now, whoever decided it. */
export function useIsDark(): boolean {
  const media = '(prefers-color-scheme: dark)';
  const read = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === 'dark' : matchMedia(media).matches;
  };
  const [dark, setDark] = useState(read);
  useEffect(() => {
    const update = () => setDark(read());
    const query = matchMedia(media);
    const observer = new MutationObserver(update);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    query.addEventListener('change', update);
    update();
    return () => {
      observer.disconnect();
      query.removeEventListener('change', update);
    };
  }, []);
  return dark;
}
