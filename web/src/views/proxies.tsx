/** Every proxy that the control plane knows. */
import { useDesk } from "../context";
import { plural } from "../format";
import { Empty, Section } from "../ui/bits";
import { NoProxies } from "./empty";
import { ProxyTable } from "./proxy_table";

export function Proxies() {
  const { fleet } = useDesk();
  if (fleet.proxies === null) return <Empty title="Waiting for the first report …" />;
  if (fleet.proxies.length === 0) return <NoProxies />;
  return (
    <Section title="Proxies" aside={
      <span class="muted">{plural(fleet.connected().length, "connected", "connected")} · current revision {fleet.topology?.revision ?? "–"}</span>
    }>
      <ProxyTable proxies={fleet.proxies} detailed />
    </Section>
  );
}
