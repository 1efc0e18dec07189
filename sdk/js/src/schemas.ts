// Short names of the API's schemas, as generated from openapi.json.
import type { components } from './api.generated.js';

type Schemas = components['schemas'];

export type JobView = Schemas['Job'];
export type ShardView = Schemas['Shard'];
export type OutcomeView = Schemas['Outcome'];
export type ExplanationView = Schemas['Explanation'];
export type TaskRequest = Schemas['TaskRequest'];
export type TaskPlan = Schemas['TaskPlan'];
export type Problem = Schemas['Problem'];
export type NodeView = Schemas['Node'];
export type PeerView = Schemas['Peer'];
export type ResourcesView = Schemas['Resources'];
export type TopologyView = Schemas['Topology'];
export type AssetView = Schemas['Asset'];
export type SharedFileView = Schemas['SharedFile'];
export type ManifestView = Schemas['Manifest'];
export type AssetAnswerView = Schemas['AssetAnswer'];
export type TransferView = Schemas['Transfer'];
export type IntentView = Schemas['Intent'];
export type LedgerView = Schemas['Ledger'];
export type AccountView = Schemas['Account'];
export type MemberView = Schemas['Member'];
export type BlockHeadView = Schemas['BlockHead'];
export type BlockView = Schemas['Block'];
export type HistoryView = Schemas['History'];
export type EscrowView = Schemas['Escrow'];
export type WorkView = Schemas['Work'];
export type PriceView = Schemas['Price'];
