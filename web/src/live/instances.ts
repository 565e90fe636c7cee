/** What all proxies together say of each instance. */
import type { Instance, Proxy } from "../api/types";

export interface InstanceView {
  /** `host:port`, as in statistics and health reports. */
  address: string;
  shard: number;
  active: number;
  idle: number;
  waiting: number;
  /** Proxies that report on it. */
  witnesses: number;
  /** Those that cannot reach it, with what they say. */
  failing: { proxy: string; detail: string }[];
  /** Whether any proxy has a pool to it. */
  used: boolean;
}

/** As the control plane writes it. */
export const addressOf = ({ host, port }: { host: string; port: number }): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

type Counts = Pick<InstanceView, "active" | "idle" | "waiting">;
type Reports = Pick<InstanceView, "witnesses" | "failing">;

/** Reports of a whole fleet, added up once so that each instance is found without a search. */
export class Instances {
  private readonly counts = new Map<string, Counts>();
  private readonly reports = new Map<string, Reports>();

  /** Proxies that are not connected have no say. */
  constructor(proxies: readonly Proxy[]) {
    for (const proxy of proxies) {
      if (proxy.state === "disconnected") continue;
      for (const pool of proxy.statistics?.pools ?? []) {
        const counts = entry(this.counts, `${pool.cluster}\n${pool.shard}\n${pool.instance}`, () => ({ active: 0, idle: 0, waiting: 0 }));
        counts.active += pool.active;
        counts.idle += pool.idle;
        counts.waiting += pool.waiting;
      }
      for (const health of proxy.health) {
        const key = `${health.cluster}\n${health.shard}\n${health.instance}`;
        const reports = entry(this.reports, key, (): Reports => ({ witnesses: 0, failing: [] }));
        reports.witnesses++;
        if (!health.reachable) reports.failing.push({ proxy: proxy.id, detail: health.detail });
      }
    }
  }

  /** To how many addresses there are server connections. */
  connected(): number {
    const open = [...this.counts].filter(([, counts]) => counts.active + counts.idle > 0);
    return new Set(open.map(([key]) => key.slice(key.lastIndexOf("\n") + 1))).size;
  }

  view(cluster: string, shard: number, instance: Instance): InstanceView {
    const address = addressOf(instance);
    const counts = this.counts.get(`${cluster}\n${shard}\n${address}`);
    const reports = this.reports.get(`${cluster}\n${shard}\n${address}`);
    return {
      address,
      shard,
      active: counts?.active ?? 0,
      idle: counts?.idle ?? 0,
      waiting: counts?.waiting ?? 0,
      witnesses: reports?.witnesses ?? 0,
      failing: reports?.failing ?? [],
      used: counts !== undefined,
    };
  }
}

function entry<T>(map: Map<string, T>, key: string, fresh: () => T): T {
  let found = map.get(key);
  if (found === undefined) {
    found = fresh();
    map.set(key, found);
  }
  return found;
}
