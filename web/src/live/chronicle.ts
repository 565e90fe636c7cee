/** What happened, told by comparing what the page knew with what it knows now. */
import type { Ban, BanList, DatabaseState, Proxy, Topology } from "../api/types";
import { plural } from "../format";
import { banSource } from "./bans";
import { addressOf } from "./instances";

export type Severity = "info" | "good" | "warn" | "bad";

export interface LogEntry {
  /** Milliseconds on this page's clock. */
  at: number;
  severity: Severity;
  /** What it is about: a proxy, a cluster, an instance. */
  subject: string;
  text: string;
}

type Line = [Severity, string, string];

const dated = (lines: Line[], at: number): LogEntry[] =>
  lines.map(([severity, subject, text]) => ({ at, severity, subject, text }));

/** A first state is what is, not what happened: it gives one line at most. */
export const chronicle = {
  topology(before: Topology | null, after: Topology, at: number): LogEntry[] {
    if (before === null || before.revision === after.revision) return [];
    const old = new Map(before.clusters.map((entry) => [entry.document.name, entry.revision]));
    const names: string[] = [];
    for (const entry of after.clusters) {
      const was = old.get(entry.document.name);
      old.delete(entry.document.name);
      if (was === undefined) names.push(`cluster ${entry.document.name} added`);
      else if (was !== entry.revision) names.push(`cluster ${entry.document.name} changed`);
    }
    for (const name of old.keys()) names.push(`cluster ${name} deleted`);
    const text = names.length > 0 ? names.join(", ") : "no cluster changed";
    return dated([["info", `revision ${after.revision}`, text]], at);
  },

  proxies(before: Proxy[] | null, after: Proxy[], at: number): LogEntry[] {
    if (before === null) {
      const connected = after.filter((proxy) => proxy.state !== "disconnected").length;
      return dated([["info", "fleet", `${plural(connected, "proxy", "proxies")} connected`]], at);
    }
    const old = new Map(before.map((proxy) => [proxy.id, proxy]));
    const lines: Line[] = [];
    for (const proxy of after) {
      const was = old.get(proxy.id);
      old.delete(proxy.id);
      lines.push(...proxyLines(was, proxy));
    }
    for (const id of old.keys()) lines.push(["info", id, "forgotten"]);
    lines.push(...healthLines(before, after));
    return dated(lines, at);
  },

  bans(before: BanList | null, after: BanList, at: number): LogEntry[] {
    if (before === null) {
      if (after.bans.length === 0) return [];
      return dated([["warn", "fleet", `${plural(after.bans.length, "ban")} in the list`]], at);
    }
    const old = new Map(before.bans.map((ban) => [banKey(ban), ban]));
    const lines: Line[] = [];
    for (const ban of after.bans) {
      if (old.delete(banKey(ban))) continue;
      const what = ban.held_back === null ? `banned ${banSource(ban)}` : "would be banned, but is used";
      lines.push(["bad", addressOf(ban), `${what}: ${ban.reason || ban.class}`]);
    }
    for (const ban of old.values()) lines.push(["good", addressOf(ban), `no longer banned ${banSource(ban)}`]);
    return dated(lines, at);
  },

  database(before: DatabaseState, after: DatabaseState, at: number): LogEntry[] {
    if (before.available === after.available) return [];
    return dated(
      [
        after.available
          ? ["good", "control plane", "its database is back"]
          : ["bad", "control plane", `its database is away${after.detail ? `: ${after.detail}` : ""}`],
      ],
      at,
    );
  },
};

const banKey = (ban: Ban): string =>
  [ban.source, addressOf(ban), ban.zone, ban.proxy, ban.held_back === null].join("\n");

function proxyLines(was: Proxy | undefined, now: Proxy): Line[] {
  const lines: Line[] = [];
  if (was?.state !== now.state) {
    if (now.state === "connected") lines.push(["good", now.id, "connected"]);
    else if (now.state === "draining") lines.push(["warn", now.id, "is draining"]);
    else if (was !== undefined) lines.push(["bad", now.id, "disconnected"]);
  } else if (was.incarnation !== now.incarnation && now.state === "connected") {
    lines.push(["warn", now.id, "started again"]);
  }
  const nack = now.last_nack;
  if (nack !== null && nack.at !== was?.last_nack?.at) {
    lines.push(["bad", now.id, `refused generation ${nack.generation}: ${nack.message}`]);
  }
  const held = now.held?.generation;
  if (held !== undefined && was !== undefined && was.held?.generation !== held) {
    lines.push(["info", now.id, `runs generation ${held}`]);
  }
  return lines;
}

function healthLines(before: Proxy[], after: Proxy[]): Line[] {
  const was = reachability(before);
  const lines: Line[] = [];
  for (const [address, now] of reachability(after)) {
    const old = was.get(address);
    if (now.reachable === old?.reachable) continue;
    if (!now.reachable) {
      lines.push(["bad", address, `unreachable for ${now.witness}${now.detail ? `: ${now.detail}` : ""}`]);
    } else if (old !== undefined) {
      lines.push(["good", address, "reachable again for every proxy"]);
    }
  }
  return lines;
}

interface Reachability {
  reachable: boolean;
  witness: string;
  detail: string;
}

/** Per cluster and address; unreachable as soon as one connected proxy says so. */
function reachability(proxies: Proxy[]): Map<string, Reachability> {
  const result = new Map<string, Reachability>();
  for (const proxy of proxies) {
    if (proxy.state === "disconnected") continue;
    for (const health of proxy.health) {
      const key = `${health.cluster} ${health.instance}`;
      if (result.get(key)?.reachable === false) continue;
      result.set(key, { reachable: health.reachable, witness: proxy.id, detail: health.detail });
    }
  }
  return result;
}
