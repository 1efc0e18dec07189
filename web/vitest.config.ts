import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^meshwork\/verify$/, replacement: source('../sdk/js/src/verify/index.ts') },
      { find: /^meshwork$/, replacement: source('../sdk/js/src/index.ts') },
    ],
  },
  test: {
    environment: 'happy-dom',
    setupFiles: ['./src/test_setup.ts'],
    include: ['src/**/*.test.{ts,tsx}'],
    restoreMocks: true,
    testTimeout: 60_000,
  },
});
