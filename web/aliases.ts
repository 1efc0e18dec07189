// The client is taken from its sources, by the bundler as by the tests.
import { fileURLToPath } from 'node:url';

const source = (path: string) => fileURLToPath(new URL(`../sdk/js/src/${path}`, import.meta.url));

export const aliases = [
  { find: /^meshwork\/verify$/, replacement: source('verify/index.ts') },
  { find: /^meshwork$/, replacement: source('index.ts') },
];
