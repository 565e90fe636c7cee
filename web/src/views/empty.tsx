/** What to do first, where there is nothing to show yet. */
import { Command, Empty } from "../ui/bits";

const origin = (): string => new URL(".", document.baseURI).href.replace(/\/$/, "");

export function NoClusters() {
  return (
    <Empty title="No clusters yet">
      <p>A cluster is what clients name as their database. Make one, with a token of the role operator or admin:</p>
      <Command text={`curl ${origin()}/api/v1/clusters \\
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{
    "name": "app",
    "users": [{"name": "app", "password": "secret"}],
    "shards": [{"instances": [
      {"host": "10.0.0.1", "port": 5432, "database": "app", "role": "primary"}
    ]}]
  }'`} />
    </Empty>
  );
}

export function NoProxies() {
  return (
    <Empty title="No proxy has connected yet">
      <p>Start one with a token of the role proxy in a file; it takes its clusters from here:</p>
      <Command text={`pgherd-proxy --control-plane ${origin()} \\
  --token-file proxy.token --cache-dir /var/lib/pgherd`} />
    </Empty>
  );
}
