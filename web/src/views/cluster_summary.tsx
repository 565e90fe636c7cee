/** All clusters, a line each. */
import type { ClusterEntry } from "../api/types";
import { useDesk } from "../context";
import { count, perSecond, UNKNOWN } from "../format";
import { href } from "../route";
import { Cell, Status } from "../ui/bits";

export function ClusterSummary() {
  const { fleet } = useDesk();
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Cluster</th>
          <th scope="col">Pooling</th>
          <th scope="col" class="num">Shards</th>
          <th scope="col">Instances</th>
          <th scope="col" class="num">Active</th>
          <th scope="col" class="num">Idle</th>
          <th scope="col" class="num">Waiting</th>
          <th scope="col" class="num">tps</th>
        </tr>
      </thead>
      <tbody>
        {(fleet.topology?.clusters ?? []).map((entry) => <Row key={entry.document.name} entry={entry} />)}
      </tbody>
    </table>
  );
}

function Row({ entry: { document: cluster } }: { entry: ClusterEntry }) {
  const { fleet } = useDesk();
  const instances = fleet.instances();
  const views = cluster.shards.flatMap((shard, index) =>
    shard.instances.map((instance) => instances.view(cluster.name, index, instance)),
  );
  const sum = (of: (view: (typeof views)[number]) => number) => views.reduce((total, view) => total + of(view), 0);
  const rates = views
    .map((view) => fleet.instanceRate(cluster.name, view.shard, view.address))
    .filter((rate) => rate !== null);
  const down = views.filter((view) => view.failing.length > 0 && view.failing.length === view.witnesses).length;
  const doubtful = views.filter((view) => view.failing.length > 0).length - down;
  const silent = views.filter((view) => view.witnesses === 0).length;
  const waiting = sum((view) => view.waiting);
  const used = views.some((view) => view.used);
  const number = (value: number) => (used ? count(value) : UNKNOWN);
  return (
    <tr>
      <Cell label="Cluster"><a class="name" href={href("clusters", cluster.name)}>{cluster.name}</a></Cell>
      <Cell label="Pooling">{cluster.pool_mode}</Cell>
      <Cell label="Shards" num>{count(cluster.shards.length)}</Cell>
      <Cell label="Instances">
        {down > 0 ? <Status tone="bad">{`${down} of ${views.length} unreachable`}</Status>
          : doubtful > 0 ? <Status tone="warn">{`${doubtful} of ${views.length} unreachable for some`}</Status>
          : silent === views.length ? <Status tone="none">{`${views.length}, no report`}</Status>
          : silent > 0 ? <Status tone="none">{`${views.length - silent} reachable, ${silent} no report`}</Status>
          : <Status tone="good">{`${views.length} reachable`}</Status>}
      </Cell>
      <Cell label="Active" num><span class="live">{number(sum((view) => view.active))}</span></Cell>
      <Cell label="Idle" num><span class="live">{number(sum((view) => view.idle))}</span></Cell>
      <Cell label="Waiting" num><span class={waiting > 0 ? "live warn" : "live"}>{number(waiting)}</span></Cell>
      <Cell label="tps" num>
        <span class="live">{perSecond(rates.length === 0 ? null : rates.reduce((total, rate) => total + rate, 0))}</span>
      </Cell>
    </tr>
  );
}
