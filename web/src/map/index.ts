export { default, type NodeMapProps } from './NodeMap';
export type { Places } from './places';
export type { Activity } from './pulses';
