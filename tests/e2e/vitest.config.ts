// The dashboard in a real browser against real nodes: MESH names the program, CHROMIUM the browser (Debian's unless told).
// One file after another, since each starts several processes.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/e2e/**/*.test.ts'],
    root: new URL('../..', import.meta.url).pathname,
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
