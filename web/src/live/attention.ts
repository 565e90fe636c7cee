/** What a person should look at now, worst first. */
import type { Proxy, Topology } from "../api/types";
import type { View } from "../route";
import { addressOf, type Instances } from "./instances";

export interface Concern {
  key: string;
  tone: "bad" | "warn";
  subject: string;
  text: string;
  view: View;
  item?: string;
}

export function attention(topology: Topology, proxies: Proxy[], instances: Instances): Concern[] {
  const concerns = [...instanceConcerns(topology, instances), ...proxies.flatMap(proxyConcerns)];
  return concerns.sort((a, b) => Number(b.tone === "bad") - Number(a.tone === "bad"));
}

function instanceConcerns(topology: Topology, instances: Instances): Concern[] {
  const concerns: Concern[] = [];
  for (const { document } of topology.clusters) {
    document.shards.forEach((shard, index) => {
      for (const instance of shard.instances) {
        const view = instances.view(document.name, index, instance);
        if (view.failing.length === 0) continue;
        const all = view.failing.length === view.witnesses;
        const detail = view.failing.find((failing) => failing.detail !== "")?.detail;
        concerns.push({
          key: `${document.name}/${index}/${addressOf(instance)}`,
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
