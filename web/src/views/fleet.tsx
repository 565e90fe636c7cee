/** The fleet at a glance: its numbers, what needs attention, its clusters and proxies in one line each. */
import type { ComponentChildren } from "preact";
import type { Topology } from "../api/types";
import { useDesk } from "../context";
import { count, perSecond, plural, span } from "../format";
import { attention } from "../live/attention";
import { addressOf } from "../live/instances";
import { href } from "../route";
import { Empty, Section, Status } from "../ui/bits";
import { Sparkline } from "../ui/sparkline";
import { ClusterSummary } from "./cluster_summary";
import { NoClusters, NoProxies } from "./empty";
import { ProxyTable } from "./proxy_table";

const CHART_MS = 300_000;
// A page that was opened just now shows what it has over the whole width, but not less than this.
const LEAST_CHART_MS = 20_000;

export function FleetView() {
  const { fleet, now } = useDesk();
  if (fleet.topology === null || fleet.proxies === null) {
    return <Empty title="Waiting for the first report …" />;
  }
  const connected = fleet.connected();
  const sum = (of: (statistics: NonNullable<(typeof connected)[number]["statistics"]>) => number) =>
    connected.reduce((total, proxy) => total + (proxy.statistics === null ? 0 : of(proxy.statistics)), 0);
  const current = connected.filter((proxy) => proxy.up_to_date).length;
  const waiting = sum((statistics) => statistics.waiting_clients);
  const rate = connected.length === 0 ? 0 : fleet.fleetRate();
  const instances = fleet.instances();
  const problems = attention(fleet.topology, fleet.proxies, instances, fleet.bans);
  const chartMs = Math.min(Math.max(now - (fleet.history.points[0]?.at ?? now), LEAST_CHART_MS), CHART_MS);
  return (
    <>
      <div class="tiles">
        <Tile label="Proxies connected" tone={connected.length < fleet.proxies.length ? "warn" : null}
          value={count(connected.length)} note={`of ${plural(fleet.proxies.length, "known proxy", "known proxies")}`} />
        <Tile label="Clients" tone={waiting > 0 ? "warn" : null}
          value={count(sum((statistics) => statistics.clients))} note={`${count(waiting)} waiting`} />
        <Tile label="Server connections"
          value={count(sum((statistics) => statistics.server_connections))}
          note={`to ${count(instances.connected())} of ${plural(addressesOf(fleet.topology).size, "instance")}`} />
        <Tile label="Revision" tone={current < connected.length ? "warn" : null}
          value={count(fleet.topology.revision)}
          note={connected.length === 0 ? "run by no proxy" : `run by ${current} of ${plural(connected.length, "proxy", "proxies")}`} />
        <Tile label="Transactions per second" wide value={perSecond(rate)} note={`last ${span(chartMs).replace(/ \d+ s$/, "")}`}>
          <Sparkline points={fleet.history.points} spanMs={chartMs} now={now}
            label={`Transactions per second over the ${span(chartMs)} before now, at the end ${perSecond(rate)}`} />
        </Tile>
      </div>
      {problems.length > 0 && (
        <Section title="Needs attention">
          <ul class="attention">
            {problems.map((problem) => (
              <li key={problem.key}>
                <Status tone={problem.tone}>{problem.subject}</Status>
                <span class="live">{problem.text}</span>
                <a href={href(problem.view, problem.item)}>Show</a>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title="Clusters" aside={<a href={href("clusters")}>Instances</a>}>
        {fleet.topology.clusters.length === 0 ? <NoClusters /> : <ClusterSummary />}
      </Section>
      <Section title="Proxies" aside={<a href={href("proxies")}>Details</a>}>
        {fleet.proxies.length === 0 ? <NoProxies /> : <ProxyTable proxies={fleet.proxies} />}
      </Section>
    </>
  );
}

/** Each address once: clusters may share a server. */
const addressesOf = (topology: Topology): Set<string> =>
  new Set(topology.clusters.flatMap(({ document }) => document.shards.flatMap((shard) => shard.instances.map(addressOf))));

function Tile({ label, value, note, tone = null, wide = false, children }: {
  label: string;
  value: string;
  note: string;
  tone?: "warn" | null;
  wide?: boolean;
  children?: ComponentChildren;
}) {
  return (
    <div class={wide ? "tile wide" : "tile"}>
      <div class="figures">
        <div class="label">{label}</div>
        <div class="value live">{value}</div>
        <div class={tone === null ? "note live" : `note live ${tone}`}>{note}</div>
      </div>
      {children}
    </div>
  );
}
