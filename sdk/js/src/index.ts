export type { components, paths } from './api.generated.js';
