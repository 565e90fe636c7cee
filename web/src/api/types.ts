/** What the REST API and the event stream carry; `/api/openapi.json` is the contract. */

export type Role = "viewer" | "operator" | "admin";

/** Who the token belongs to. */
export interface Session {
  name: string;
  role: Role;
  version: string;
}

export interface Instance {
  host: string;
  port: number;
  database?: string;
  role: "primary" | "replica" | "auto";
  weight?: number;
}

/** The fields of a cluster that the page shows; the document has more. */
export interface Cluster {
  name: string;
  pool_mode: string;
  pool_size: number;
  reads: string;
  /** Absent: by the instances. */
  load_balancing?: string;
  users: { name: string }[];
  shards: { instances: Instance[] }[];
}

export interface ClusterEntry {
  /** The revision that changed this cluster last. */
  revision: number;
  document: Cluster;
}

export interface Topology {
  generation: number;
  revision: number;
  clusters: ClusterEntry[];
}

export interface PoolStatistics {
  cluster: string;
  user: string;
  shard: number;
  /** `host:port` */
  instance: string;
  active: number;
  idle: number;
  waiting: number;
  transactions: number;
}

export interface Statistics {
  at: string;
  clients: number;
  server_connections: number;
  waiting_clients: number;
  transactions: number;
  queries: number;
  pools: PoolStatistics[];
}

export interface InstanceHealth {
  cluster: string;
  shard: number;
  instance: string;
  reachable: boolean;
  detail: string;
  at: string;
}

export interface Nack {
  generation: number;
  code: string;
  pointer: string;
  message: string;
  retriable: boolean;
  at: string;
}

export interface Proxy {
  id: string;
  number: number;
  incarnation: string;
  version: string;
  labels: Record<string, string>;
  address: string | null;
  state: "connected" | "draining" | "disconnected";
  connected_since: string | null;
  last_seen: string;
  held: { lineage: string; generation: number } | null;
  up_to_date: boolean;
  last_nack: Nack | null;
  statistics: Statistics | null;
  health: InstanceHealth[];
}

export interface ProxyList {
  current: { lineage: string; generation: number; revision: number };
  proxies: Proxy[];
}

/** What one proxy has against an instance. */
export interface Evidence {
  proxy: string;
  zone: string | null;
  class: string;
  detail: string;
  lasting_seconds: number;
}

/** One instance in its place in the topology, as all proxies together see it. */
export interface InstanceStatus {
  cluster: string;
  shard: number;
  host: string;
  port: number;
  role: "unknown" | "primary" | "replica" | "fenced";
  timeline: number | null;
  lsn: number | null;
  lag_ms: number | null;
  busy: number;
  latency_us: number | null;
  watchers: number;
  banned_by: number;
  held_back_by: number;
  failing: Evidence[];
}

export interface InstanceList {
  instances: InstanceStatus[];
}

export interface Ban {
  /** Manual bans only. */
  id: string | null;
  host: string;
  port: number;
  places: { cluster: string; shard: number }[];
  source: "manual" | "fleet" | "local";
  zone: string | null;
  proxy: string | null;
  class: string;
  reason: string;
  author: string | null;
  created_at: string | null;
  elapsed_seconds: number;
  /** As of when the list came. */
  remaining_seconds: number | null;
  held_back: string | null;
  count: number | null;
  evidence: Evidence[];
  voters: number | null;
  obeyed_by: number;
}

export interface BanList {
  bans: Ban[];
  doubted: string[];
  majority: boolean;
}

export interface StatisticsReport {
  at: string;
  proxies: { id: string; statistics: Statistics }[];
}

export interface DatabaseState {
  available: boolean;
  detail: string | null;
}

export interface Revision {
  number: number;
  created_at: string;
  author: string;
  reason: string | null;
  action: "put" | "delete" | "rollback" | "init" | (string & {});
  cluster: string | null;
  rolled_back_to: number | null;
}

export interface RevisionList {
  current: number;
  revisions: Revision[];
}

export interface RevisionDocument extends Revision {
  document: { clusters: Cluster[] };
}

export interface AuditEntry {
  id: number;
  at: string;
  actor: string;
  action: string;
  target: string | null;
  revision: number | null;
  detail: string | null;
}

/** What a write answers. */
export interface ChangeReceipt {
  revision: number;
  changed: boolean;
  warnings: { pointer: string; code: string; message: string }[];
}
