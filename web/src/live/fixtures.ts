/** A small fleet for tests, as the API describes one. */
import type { Ban, BanList, Proxy, Statistics, Topology } from "../api/types";

export function proxy(id: string, changes: Partial<Proxy> = {}): Proxy {
  return {
    id,
    number: 1,
    incarnation: `${id}-first`,
    version: "0.1.0",
    labels: {},
    address: "10.0.0.9:6432",
    state: "connected",
    connected_since: "2026-11-21T12:00:00Z",
    last_seen: "2026-11-21T12:00:00Z",
    held: { lineage: "l", generation: 1 },
    up_to_date: true,
    last_nack: null,
    statistics: null,
    health: [],
    ...changes,
  };
}

export function statistics(second: number, transactions: number, changes: Partial<Statistics> = {}): Statistics {
  return {
    at: new Date(second * 1000).toISOString(),
    clients: 3,
    server_connections: 2,
    waiting_clients: 0,
    transactions,
    queries: transactions,
    pools: [
      { cluster: "app", user: "a", shard: 0, instance: "10.0.0.1:5432", active: 1, idle: 2, waiting: 0, transactions },
      { cluster: "app", user: "b", shard: 0, instance: "10.0.0.1:5432", active: 2, idle: 0, waiting: 4, transactions: 0 },
    ],
    ...changes,
  };
}

export function topology(revision: number, clusters: [name: string, revision: number][]): Topology {
  return {
    generation: revision,
    revision,
    clusters: clusters.map(([name, changed]) => ({
      revision: changed,
      document: {
        name,
        pool_mode: "transaction",
        pool_size: 20,
        reads: "primary",
        load_balancing: "random",
        users: [{ name: "a" }],
        shards: [{ instances: [{ host: "10.0.0.1", port: 5432, role: "primary" }] }],
      },
    })),
  };
}

export const health = (reachable: boolean, detail = "") => ({
  cluster: "app",
  shard: 0,
  instance: "10.0.0.1:5432",
  reachable,
  detail,
  at: "2026-11-21T12:00:00Z",
});

export function ban(changes: Partial<Ban> = {}): Ban {
  return {
    id: null,
    host: "10.0.0.1",
    port: 5432,
    places: [{ cluster: "app", shard: 0 }],
    source: "fleet",
    zone: null,
    proxy: null,
    class: "connect_refused",
    reason: "connection refused",
    author: null,
    created_at: null,
    elapsed_seconds: 3,
    remaining_seconds: null,
    held_back: null,
    count: null,
    evidence: [],
    voters: 3,
    obeyed_by: 3,
    ...changes,
  };
}

export const bans = (...list: Ban[]): BanList => ({ bans: list, doubted: [], majority: true });
