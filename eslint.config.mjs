// Rules for all JavaScript and TypeScript of the repository. The linters themselves are pinned in tools/lint.
import { createRequire } from 'node:module';

// ESLint runs from its own folder outside the clone; LINT_MODULES says where its packages are.
const require = createRequire(`${process.env.LINT_MODULES}/`);
const js = require('@eslint/js');
const typescript = require('typescript-eslint');
const hooks = require('eslint-plugin-react-hooks');
const names = [
  ...['console', 'process', 'Buffer', 'URL', 'TextEncoder', 'TextDecoder', 'AbortController', 'AbortSignal', 'fetch'],
  ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'queueMicrotask', 'WebSocket'],
  ...['WebAssembly', 'structuredClone', 'performance', 'crypto', 'EventTarget', 'Event'],
];

export default [
  // Examples are written for the sandbox's own interpreter, which has other globals.
  { ignores: ['build*/', '**/node_modules/', '**/dist/', '**/*.generated.*', 'tests/fixtures/', 'examples/'] },
  js.configs.recommended,
  {
    languageOptions: { globals: Object.fromEntries(names.map((name) => [name, 'readonly'])) },
    rules: { eqeqeq: 'error', 'no-unused-vars': ['error', { argsIgnorePattern: '^_' }], 'prefer-const': 'error' },
  },
  ...typescript.configs.strict.map((config) => ({ ...config, files: ['**/*.ts', '**/*.tsx'] })),
  {
    files: ['**/*.ts', '**/*.tsx'],
    rules: {
      // The compiler knows the names that there are, and which are not used.
      'no-undef': 'off',
      // Under noUncheckedIndexedAccess it is how a loop over an array says that its index is in bounds.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // What is read of terminals and hostile text are control characters.
      'no-control-regex': 'off',
      'no-unused-vars': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['web/**/*.tsx', 'web/**/*.ts'],
    plugins: { 'react-hooks': hooks },
    // What the React Compiler could not rewrite is no fault where it does not run.
    rules: {
      ...hooks.configs.recommended.rules,
      'react-hooks/incompatible-library': 'off',
      // Effects here begin reading what a page shows, and say at once that they do.
      'react-hooks/set-state-in-effect': 'off',
    },
  },
];
