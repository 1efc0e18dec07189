// What the dashboard knows of a node, by the names of the API's schemas.
import type { components } from 'meshwork';

export type Schemas = components['schemas'];
export type Job = Schemas['Job'];
export type Shard = Schemas['Shard'];
export type Peer = Schemas['Peer'];
export type NodeInfo = Schemas['Node'];
export type Topology = Schemas['Topology'];
export type Transfer = Schemas['Transfer'];
export type Explanation = Schemas['Explanation'];
export type MeshEvent = Schemas['Event'];
export type TaskRequest = Schemas['TaskRequest'];
export type TaskPlan = Schemas['TaskPlan'];

export type Connection = 'connecting' | 'open' | 'lost';

export const phases = ['bidding', 'running', 'reducing', 'fetching', 'done', 'failed', 'stopped'] as const;
export const isPhase = (text: string): boolean => (phases as readonly string[]).includes(text);
export const isEnd = (phase: string): boolean => phase === 'done' || phase === 'failed' || phase === 'stopped';
/** Of the API, in the order in which a shard goes through them; a newer node may know others. */
export const shardStates: readonly string[] = [
  ...['waiting', 'running', 'committed', 'verifying'],
  ...['accepted', 'spot_checked', 'unverified', 'undetermined', 'disputed', 'rejected'],
];

/** How many shards one request brings, which is the API's maximum. */
export const shardPage = 1000;
