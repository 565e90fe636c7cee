/** What a person should look at now, worst first. */
import type { BanList, Proxy, Topology } from "../api/types";
import type { View } from "../route";
import { banSource, className } from "./bans";
import { addressOf, type Instances } from "./instances";

export interface Concern {
  key: string;
  tone: "bad" | "warn";
  subject: string;
  text: string;
  view: View;
  item?: string;
}

export function attention(
  topology: Topology, proxies: Proxy[], instances: Instances, bans: BanList | null = null,
): Concern[] {
  // Who bans it says all that there is to say of an instance that fails.
  const banned = new Set(bans?.bans.map(addressOf));
  const concerns = [
    ...instanceConcerns(topology, instances).filter((concern) => !banned.has(concern.address)),
    ...banConcerns(bans),
    ...proxies.flatMap(proxyConcerns),
  ];
  return concerns.sort((a, b) => Number(b.tone === "bad") - Number(a.tone === "bad"));
}

function instanceConcerns(topology: Topology, instances: Instances): (Concern & { address: string })[] {
  const concerns: (Concern & { address: string })[] = [];
  for (const { document } of topology.clusters) {
    document.shards.forEach((shard, index) => {
      for (const instance of shard.instances) {
        const view = instances.view(document.name, index, instance);
        if (view.failing.length === 0) continue;
        const all = view.failing.length === view.witnesses;
        const detail = view.failing.find((failing) => failing.detail !== "")?.detail;
        concerns.push({
          key: `${document.name}/${index}/${addressOf(instance)}`,
          address: view.address,
          tone: all ? "bad" : "warn",
          subject: `${document.name} ${view.address}`,
          text:
            (all ? "unreachable" : `unreachable for ${view.failing.length} of ${view.witnesses} proxies`) +
            (detail === undefined ? "" : `: ${detail}`),
          view: "clusters",
          item: document.name,
        });
      }
    });
  }
  return concerns;
}

function banConcerns(list: BanList | null): Concern[] {
  if (list === null) return [];
  const concerns = list.bans.map((ban): Concern => ({
    key: `ban ${ban.source} ${addressOf(ban)} ${ban.zone} ${ban.proxy}`,
    tone: ban.source === "manual" ? "warn" : "bad",
    subject: addressOf(ban),
    text: (ban.held_back === null ? `banned ${banSource(ban)}` : `would be banned, but ${ban.held_back}`) +
      `: ${ban.reason || className(ban.class)}`,
    view: "bans",
  }));
  const doubted = list.doubted.map((proxy): Concern => ({
    key: `doubt ${proxy}`, tone: "warn", subject: proxy, view: "proxies",
    text: "fails against so many instances that what it sees does not count",
  }));
  return [...concerns, ...doubted];
}

function proxyConcerns(proxy: Proxy): Concern[] {
  const concern = (tone: Concern["tone"], text: string): Concern[] => [
    { key: proxy.id, tone, subject: proxy.id, text, view: "proxies" },
  ];
  if (proxy.state === "disconnected") return concern("warn", "not connected");
  if (proxy.up_to_date) return [];
  const nack = proxy.last_nack;
  if (nack !== null) return concern("bad", `refused generation ${nack.generation}: ${nack.message}`);
  return concern("warn", "does not run the current revision yet");
}
