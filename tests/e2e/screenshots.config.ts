// Takes pictures; asserts nothing, so it is no part of the tests.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/e2e/screenshots.ts'],
    root: new URL('../..', import.meta.url).pathname,
    testTimeout: 300_000,
  },
});
