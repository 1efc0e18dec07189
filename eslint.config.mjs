// Rules for all JavaScript of the repository. The linters themselves are pinned in tools/lint.
import { createRequire } from 'node:module';

// ESLint runs from its own folder outside the clone; LINT_MODULES says where its packages are.
const js = createRequire(`${process.env.LINT_MODULES}/`)('@eslint/js');
const names = [
  ...['console', 'process', 'Buffer', 'URL', 'TextEncoder', 'TextDecoder', 'AbortController', 'AbortSignal', 'fetch'],
  ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'queueMicrotask', 'WebSocket'],
  ...['WebAssembly', 'structuredClone', 'performance', 'crypto', 'EventTarget', 'Event'],
];

export default [
  // Examples are written for the sandbox's own interpreter, which has other globals.
  { ignores: ['build*/', '**/node_modules/', 'tests/fixtures/', 'examples/'] },
  js.configs.recommended,
  {
    languageOptions: { globals: Object.fromEntries(names.map((name) => [name, 'readonly'])) },
    rules: { eqeqeq: 'error', 'no-unused-vars': ['error', { argsIgnorePattern: '^_' }], 'prefer-const': 'error' },
  },
];
