/** Each cluster with its shards and the state of every instance. */
import { useState } from "preact/hooks";
import type { Ban, Cluster, ClusterEntry, Instance, InstanceStatus } from "../api/types";
import { mayOperate, useDesk } from "../context";
import { count, milliseconds, perSecond, plural, UNKNOWN } from "../format";
import { banSource, className } from "../live/bans";
import { addressOf, type InstanceView } from "../live/instances";
import { href } from "../route";
import { Badge, Cell, Empty, Section, Status } from "../ui/bits";
import { BanDialog } from "./ban_dialog";
import { NoClusters } from "./empty";

export function Clusters({ only }: { only: string | null }) {
  const { fleet } = useDesk();
  const [filter, setFilter] = useState("");
  if (fleet.topology === null) return <Empty title="Waiting for the first report …" />;
  const all = fleet.topology.clusters;
  if (all.length === 0) return <NoClusters />;
  const wanted = filter.trim().toLowerCase();
  const shown = only === null
    ? all.filter(({ document }) => wanted === "" || matches(document, wanted))
    : all.filter(({ document }) => document.name === only);
  return (
    <>
      {only !== null && <p class="back"><a href={href("clusters")}>All clusters</a></p>}
      {only === null && all.length > 3 && (
        <input type="search" class="filter" placeholder="Filter by cluster or host" aria-label="Filter by cluster or host"
          value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
      )}
      {shown.map((entry) => <ClusterBlock key={entry.document.name} entry={entry} />)}
      {shown.length === 0 && (
        <Empty title={only === null ? "Nothing matches the filter" : `There is no cluster ${only}`} />
      )}
    </>
  );
}

const matches = (cluster: Cluster, wanted: string): boolean =>
  cluster.name.toLowerCase().includes(wanted) ||
  cluster.shards.some((shard) => shard.instances.some((instance) => addressOf(instance).toLowerCase().includes(wanted)));

function ClusterBlock({ entry: { document: cluster, revision } }: { entry: ClusterEntry }) {
  const facts = [
    `${cluster.pool_mode} pooling`,
    `pool size ${cluster.pool_size}`,
    `reads: ${cluster.reads}`,
    plural(cluster.users.length, "user"),
    plural(cluster.shards.length, "shard"),
  ];
  return (
    <Section title={cluster.name} aside={
      <span class="muted">{facts.join(" · ")} · <a href={href("revisions", revision)}>revision {revision}</a></span>
    }>
      <table class="instances">
        <thead>
          <tr>
            {cluster.shards.length > 1 && <th scope="col">Shard</th>}
            <th scope="col">Role</th>
            <th scope="col">Instance</th>
            <th scope="col">State</th>
            <th scope="col" class="num">Lag</th>
            <th scope="col" class="num">Latency</th>
            <th scope="col" class="num">Active</th>
            <th scope="col" class="num">Idle</th>
            <th scope="col" class="num">Waiting</th>
            <th scope="col" class="num">tps</th>
            <th scope="col"><span class="hidden">Actions</span></th>
          </tr>
        </thead>
        <tbody>
          {cluster.shards.flatMap((shard, index) =>
            shard.instances.map((instance, place) => (
              <InstanceRow
                key={`${index}/${place}`} cluster={cluster} shard={index} instance={instance}
                first={place === 0}
              />
            )),
          )}
        </tbody>
      </table>
    </Section>
  );
}

function InstanceRow({ cluster, shard, instance, first }: {
  cluster: Cluster;
  shard: number;
  instance: Instance;
  first: boolean;
}) {
  const { fleet, session } = useDesk();
  const [asking, setAsking] = useState(false);
  const status = fleet.status(cluster.name, shard, instance);
  const bans = (fleet.bans?.bans ?? []).filter((ban) => addressOf(ban) === addressOf(instance));
  const view = fleet.instances().view(cluster.name, shard, instance);
  const number = (value: number, tone = "") =>
    <span class={`live ${tone}`}>{view.used ? count(value) : UNKNOWN}</span>;
  return (
    <tr class={first && shard > 0 ? "parted" : undefined}>
      {cluster.shards.length > 1 && <Cell label="Shard">{shard}</Cell>}
      <Cell label="Role"><RoleBadge instance={instance} status={status} /></Cell>
      <Cell label="Instance">
        <span>
          <span class="name">{view.address}</span>
          {instance.database !== undefined && instance.database !== null && <span class="muted small"> / {instance.database}</span>}
        </span>
      </Cell>
      <Cell label="State"><State view={view} status={status} bans={bans} /></Cell>
      <Cell label="Lag" num><span class="live">{milliseconds(status?.lag_ms ?? null)}</span></Cell>
      <Cell label="Latency" num><span class="live">{milliseconds(status?.latency_us == null ? null : status.latency_us / 1000)}</span></Cell>
      <Cell label="Active" num>{number(view.active)}</Cell>
      <Cell label="Idle" num>{number(view.idle)}</Cell>
      <Cell label="Waiting" num>{number(view.waiting, view.waiting > 0 ? "warn" : "")}</Cell>
      <Cell label="tps" num><span class="live">{perSecond(fleet.instanceRate(cluster.name, shard, view.address))}</span></Cell>
      <td class="act">
        {mayOperate(session) && !bans.some((ban) => ban.id !== null) && (
          <button class="small" aria-label={`Ban ${view.address} …`} onClick={() => setAsking(true)}>Ban …</button>
        )}
        {asking && <BanDialog instance={instance} onClose={() => setAsking(false)} />}
      </td>
    </tr>
  );
}

/** What it is; where that is not what the settings say, both. */
function RoleBadge({ instance, status }: { instance: Instance; status: InstanceStatus | null }) {
  const seen = status === null || status.role === "unknown" ? instance.role : status.role;
  const tone = seen === "primary" ? "info" : seen === "fenced" ? "warn" : "none";
  const odd = instance.role !== "auto" && seen !== instance.role;
  return (
    <>
      <Badge tone={tone}>{seen}</Badge>
      {odd && <div class="warn small">set as {instance.role}</div>}
    </>
  );
}

function State({ view, status, bans }: { view: InstanceView; status: InstanceStatus | null; bans: Ban[] }) {
  // Of several bans the first is the strongest; single proxies come last and count together.
  const [ban] = bans;
  if (ban === undefined || status === null) return <Reachable view={view} />;
  const local = bans.filter((it) => it.source === "local");
  const whose = ban.source === "local" && local.length > 1 ? `by ${local.length} proxies for themselves` : banSource(ban);
  return (
    <div>
      {ban.held_back === null
        ? <Status tone={ban.source === "local" ? "warn" : "bad"}><a href={href("bans")}>banned {whose}</a></Status>
        : <Status tone="warn"><a href={href("bans")}>failing, used all the same</a></Status>}
      <div class="muted small">{[ban.class === "manual" ? "" : className(ban.class), ban.reason].filter(Boolean).join(": ")}</div>
    </div>
  );
}

function Reachable({ view }: { view: InstanceView }) {
  if (view.witnesses === 0) return <Status tone="none" title="no proxy has connected to it so far">no report</Status>;
  if (view.failing.length === 0) {
    return <Status tone="good" title={`seen by ${plural(view.witnesses, "proxy", "proxies")}`}>reachable</Status>;
  }
  const all = view.failing.length === view.witnesses;
  return (
    <div>
      <Status tone={all ? "bad" : "warn"}>
        {all ? "unreachable" : `unreachable for ${view.failing.length} of ${view.witnesses} proxies`}
      </Status>
      {reasons(view).map(({ detail, proxies }) => (
        <div key={detail} class="muted small">{detail} <span>({proxies.join(", ")})</span></div>
      ))}
    </div>
  );
}

/** What the proxies say, once for all that say the same. */
function reasons(view: InstanceView): { detail: string; proxies: string[] }[] {
  const found = new Map<string, string[]>();
  for (const { proxy, detail } of view.failing) {
    found.set(detail, [...(found.get(detail) ?? []), proxy]);
  }
  return [...found].map(([detail, proxies]) => ({ detail, proxies }));
}
