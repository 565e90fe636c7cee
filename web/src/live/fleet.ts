/** What the page knows of the fleet: each event replaces a part of it, whole. */
import type {
  BanList,
  DatabaseState,
  InstanceList,
  InstanceStatus,
  Proxy,
  ProxyList,
  Statistics,
  StatisticsReport,
  Topology,
} from "../api/types";
import { chronicle, type LogEntry } from "./chronicle";
import { addressOf, Instances } from "./instances";
import { CounterRate, Series } from "./rate";
import type { ServerEvent } from "./sse";

const LOG_LENGTH = 500;
// The chart shows five minutes.
const STEP_MS = 2_000;
const POINTS = 150;

export class Fleet {
  topology: Topology | null = null;
  proxies: Proxy[] | null = null;
  bans: (BanList & { at: number }) | null = null;
  private statuses = new Map<string, InstanceStatus>();
  database: DatabaseState = { available: true, detail: null };
  /** Newest first; each line keeps its number. */
  log: (LogEntry & { number: number })[] = [];
  private lines = 0;
  /** Transactions per second of all proxies together, over time. */
  readonly history = new Series(POINTS);
  private addedUp: { of: Proxy[]; instances: Instances } | null = null;
  private rates = new Map<string, CounterRate>();
  private poolRates = new Map<string, CounterRate>();

  /** Takes in one event of the stream; `now` is this page's clock. False when nothing changed. */
  apply(event: ServerEvent, now: number): boolean {
    switch (event.name) {
      case "topology":
        return this.takeTopology(JSON.parse(event.data) as Topology, now);
      case "proxies":
        return this.takeProxies(JSON.parse(event.data) as ProxyList, now);
      case "statistics":
        return this.takeStatistics(JSON.parse(event.data) as StatisticsReport, now);
      case "instances":
        return this.takeInstances(JSON.parse(event.data) as InstanceList);
      case "bans":
        return this.takeBans(JSON.parse(event.data) as BanList, now);
      case "database":
        return this.takeDatabase(JSON.parse(event.data) as DatabaseState, now);
      default:
        return false; // an event of a newer control plane
    }
  }

  /** Transactions per second of one proxy. */
  proxyRate(id: string): number | null {
    return this.rates.get(id)?.current() ?? null;
  }

  /** Transactions per second through all proxies to one instance of a cluster. */
  instanceRate(cluster: string, shard: number, address: string): number | null {
    let sum: number | null = null;
    for (const proxy of this.connected()) {
      const value = this.poolRates.get(poolKey(proxy.id, cluster, shard, address))?.current() ?? null;
      if (value !== null) sum = (sum ?? 0) + value;
    }
    return sum;
  }

  /** Transactions per second of the fleet. */
  fleetRate(): number | null {
    let sum: number | null = null;
    for (const proxy of this.connected()) {
      const value = this.proxyRate(proxy.id);
      if (value !== null) sum = (sum ?? 0) + value;
    }
    return sum;
  }

  /** What the proxies say of each instance. */
  instances(): Instances {
    const of = this.proxies ?? [];
    if (this.addedUp?.of !== of) this.addedUp = { of, instances: new Instances(of) };
    return this.addedUp.instances;
  }

  /** What the control plane made of what they say. */
  status(cluster: string, shard: number, instance: { host: string; port: number }): InstanceStatus | null {
    return this.statuses.get(`${cluster}\n${shard}\n${addressOf(instance)}`) ?? null;
  }

  connected(): Proxy[] {
    return (this.proxies ?? []).filter((proxy) => proxy.state !== "disconnected");
  }

  /** A line of the log that the page itself has to say. */
  note(entry: Omit<LogEntry, "at">, now: number): void {
    this.write([{ ...entry, at: now }]);
  }

  private takeTopology(topology: Topology, now: number): boolean {
    this.write(chronicle.topology(this.topology, topology, now));
    this.topology = topology;
    return true;
  }

  private takeProxies(list: ProxyList, now: number): boolean {
    this.write(chronicle.proxies(this.proxies, list.proxies, now));
    this.proxies = list.proxies;
    const connected = new Map(this.connected().map((proxy) => [proxy.id, proxy]));
    for (const id of this.rates.keys()) {
      if (!connected.has(id)) this.forget(id);
    }
    for (const proxy of connected.values()) {
      if (proxy.statistics !== null) this.count(proxy, proxy.statistics);
    }
    return true;
  }

  private takeStatistics(report: StatisticsReport, now: number): boolean {
    if (this.proxies === null) return false;
    const latest = new Map(report.proxies.map((entry) => [entry.id, entry.statistics]));
    this.proxies = this.proxies.map((proxy) => {
      const statistics = latest.get(proxy.id);
      return statistics === undefined ? proxy : { ...proxy, statistics };
    });
    for (const proxy of this.connected()) {
      const statistics = latest.get(proxy.id);
      if (statistics !== undefined) this.count(proxy, statistics);
    }
    const rate = this.fleetRate();
    if (rate !== null) this.history.push({ at: now, value: rate }, STEP_MS);
    return true;
  }

  private takeInstances({ instances }: InstanceList): boolean {
    this.statuses = new Map(instances.map((it) => [`${it.cluster}\n${it.shard}\n${addressOf(it)}`, it]));
    return true;
  }

  private takeBans(list: BanList, now: number): boolean {
    this.write(chronicle.bans(this.bans, list, now));
    this.bans = { ...list, at: now };
    return true;
  }

  private takeDatabase(database: DatabaseState, now: number): boolean {
    this.write(chronicle.database(this.database, database, now));
    this.database = database;
    return true;
  }

  // Readings are dated by the control plane, so that a slow network does not look like a slow fleet.
  private count(proxy: Proxy, statistics: Statistics): void {
    const at = Date.parse(statistics.at);
    if (Number.isNaN(at)) return;
    counter(this.rates, proxy.id).push({ at, value: statistics.transactions }, proxy.incarnation);
    const byInstance = new Map<string, number>();
    for (const pool of statistics.pools) {
      const key = poolKey(proxy.id, pool.cluster, pool.shard, pool.instance);
      byInstance.set(key, (byInstance.get(key) ?? 0) + pool.transactions);
    }
    for (const [key, value] of byInstance) {
      counter(this.poolRates, key).push({ at, value }, proxy.incarnation);
    }
  }

  private forget(id: string): void {
    this.rates.delete(id);
    for (const key of this.poolRates.keys()) {
      if (key.startsWith(`${id}\n`)) this.poolRates.delete(key);
    }
  }

  private write(entries: LogEntry[]): void {
    if (entries.length === 0) return;
    // The first of several is to be read first, so it gets the highest number.
    this.lines += entries.length;
    const numbered = entries.map((entry, index) => ({ ...entry, number: this.lines - index }));
    this.log = [...numbered, ...this.log].slice(0, LOG_LENGTH);
  }
}

const poolKey = (proxy: string, cluster: string, shard: number, address: string): string =>
  `${proxy}\n${cluster}\n${shard}\n${address}`;

function counter(counters: Map<string, CounterRate>, key: string): CounterRate {
  let found = counters.get(key);
  if (found === undefined) {
    found = new CounterRate();
    counters.set(key, found);
  }
  return found;
}
