// The client of a Meshwork node's HTTP API, for browsers and Node. What needs Node is in "meshwork/node", the check of
// proof bundles in "meshwork/verify".
export type { components, paths } from './api.generated.js';
export { Connection, type ConnectionState, type ConnectionStatus } from './connection.js';
export { asJson, asText } from './encoding.js';
export { BadAnswer, MeshError, NodeUnreachable, Unauthorized, type ErrorKind } from './errors.js';
export type { EventOptions, Gap, MeshEvent, WebSocketConstructor, WebSocketLike } from './events.js';
export { unwrap } from './http.js';
export { Job, JobFailed, type LogLine, type LogOptions, type ReadOptions, type ShardResult } from './job.js';
export { Mesh, type MapOptions, type MeshOptions } from './mesh.js';
export type * from './schemas.js';
export type { Input, Language, RunOptions, Source } from './source.js';
