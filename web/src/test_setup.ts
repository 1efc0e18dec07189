import { cleanup } from '@testing-library/react';
import { afterEach } from 'vitest';

// happy-dom lays nothing out; a virtualised list needs a height to know what is seen.
for (const [name, size] of [
  ['clientHeight', 480],
  ['clientWidth', 800],
] as const)
  Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get: () => size });

afterEach(() => {
  cleanup();
  localStorage.clear();
  sessionStorage.clear();
});
