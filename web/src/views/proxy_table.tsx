/** The proxies of the fleet in a table. */
import type { Proxy } from "../api/types";
import { mayOperate, useDesk } from "../context";
import { ago, count, dateTime, parseTime, perSecond, span } from "../format";
import { Badge, Cell, Status } from "../ui/bits";
import { ForgetProxy } from "./forget_proxy";

interface Props {
  proxies: Proxy[];
  /** With address, labels, and what was refused. */
  detailed?: boolean;
}

export function ProxyTable({ proxies, detailed = false }: Props) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Proxy</th>
          <th scope="col">Number</th>
          <th scope="col">State</th>
          {detailed && <th scope="col">Address</th>}
          {detailed && <th scope="col">Version</th>}
          <th scope="col">Revision</th>
          <th scope="col" class="num">Clients</th>
          <th scope="col" class="num">Waiting</th>
          <th scope="col" class="num">Servers</th>
          <th scope="col" class="num">tps</th>
        </tr>
      </thead>
      <tbody>
        {proxies.map((proxy) => <Row key={proxy.id} proxy={proxy} detailed={detailed} />)}
      </tbody>
    </table>
  );
}

function Row({ proxy, detailed }: { proxy: Proxy; detailed: boolean }) {
  const { fleet, session } = useDesk();
  const gone = proxy.state === "disconnected";
  // What a proxy that is gone once counted is no longer so.
  const statistics = gone ? null : proxy.statistics;
  const labels = Object.entries(proxy.labels);
  const waiting = statistics?.waiting_clients ?? 0;
  const columns = detailed ? 10 : 8;
  return (
    <>
      <tr class={gone ? "gone" : undefined}>
        <Cell label="Proxy">
          <span class="name">{proxy.id}</span>
          {detailed && labels.map(([key, value]) => <Badge key={key}>{key}={value}</Badge>)}
        </Cell>
        <Cell label="Number">{proxy.number}</Cell>
        <Cell label="State"><Connected proxy={proxy} /></Cell>
        {detailed && <Cell label="Address"><span class="name">{proxy.address ?? "–"}</span></Cell>}
        {detailed && <Cell label="Version" title={`incarnation ${proxy.incarnation}`}>{proxy.version}</Cell>}
        <Cell label="Revision"><Held proxy={proxy} /></Cell>
        <Cell label="Clients" num><span class="live">{count(statistics?.clients)}</span></Cell>
        <Cell label="Waiting" num>
          <span class={waiting > 0 ? "live warn" : "live"}>{count(statistics?.waiting_clients)}</span>
        </Cell>
        <Cell label="Servers" num><span class="live">{count(statistics?.server_connections)}</span></Cell>
        <Cell label="tps" num><span class="live">{perSecond(gone ? null : fleet.proxyRate(proxy.id))}</span></Cell>
      </tr>
      {detailed && proxy.last_nack !== null && <NackRow proxy={proxy} columns={columns} />}
      {detailed && gone && mayOperate(session) && (
        <tr class="under"><td colSpan={columns}><ForgetProxy id={proxy.id} /></td></tr>
      )}
    </>
  );
}

function Connected({ proxy }: { proxy: Proxy }) {
  const { now } = useDesk();
  const since = parseTime(proxy.connected_since);
  const age = since === null ? "" : ` for ${span(now - since)}`;
  switch (proxy.state) {
    case "connected":
      return <Status tone="good" title={`since ${dateTime(proxy.connected_since)}`}>connected{age}</Status>;
    case "draining":
      return <Status tone="warn" title={`connected since ${dateTime(proxy.connected_since)}`}>draining</Status>;
    case "disconnected":
      return <Status tone="bad" title={dateTime(proxy.last_seen)}>last seen {ago(proxy.last_seen, now)}</Status>;
  }
}

function Held({ proxy }: { proxy: Proxy }) {
  if (proxy.held === null) return <Badge tone="warn">none</Badge>;
  const { generation } = proxy.held;
  if (proxy.up_to_date) return <Badge tone="good">{`${generation} current`}</Badge>;
  return <Badge tone="warn">{`${generation} behind`}</Badge>;
}

function NackRow({ proxy, columns }: { proxy: Proxy; columns: number }) {
  const { now } = useDesk();
  const nack = proxy.last_nack;
  if (nack === null) return null;
  // Once it runs something newer, a refusal is history.
  const over = proxy.held !== null && proxy.held.generation > nack.generation;
  return (
    <tr class="under">
      <td colSpan={columns}>
        <span class={over ? "muted" : "bad"}>
          {over ? "Once refused" : "Refused"} generation {nack.generation}, {ago(nack.at, now)}:
        </span>{" "}
        {nack.message} <code>{nack.code}</code>
        {nack.pointer !== "" && <> at <code>{nack.pointer}</code></>}
        {nack.retriable && <span class="muted"> (may be accepted later)</span>}
      </td>
    </tr>
  );
}
