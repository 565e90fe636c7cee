/** The frame around the views: navigation, the live connection, and what is known about it. */
import { useEffect, useMemo, useReducer, useState } from "preact/hooks";
import type { Client } from "./api/client";
import type { Session } from "./api/types";
import { DeskContext, type Desk } from "./context";
import { span } from "./format";
import { Fleet } from "./live/fleet";
import { follow, type Connection } from "./live/stream";
import { href, useRoute, VIEWS, type View } from "./route";
import { Logo } from "./ui/logo";
import { Status } from "./ui/bits";
import { Bans } from "./views/bans";
import { Clusters } from "./views/clusters";
import { Events } from "./views/events";
import { FleetView } from "./views/fleet";
import { Proxies } from "./views/proxies";
import { Revisions } from "./views/revisions";

interface Props {
  client: Client;
  session: Session;
  onSignOut(notice: string | null): void;
}

// Events may come in bursts; people do not read faster than this.
const REDRAW_MS = 150;

const TITLES: Record<View, string> = {
  fleet: "Fleet",
  clusters: "Clusters",
  bans: "Bans",
  proxies: "Proxies",
  revisions: "Revisions",
  events: "Events",
};

export function Shell({ client, session, onSignOut }: Props) {
  const fleet = useMemo(() => new Fleet(), [client]);
  const [connection, setConnection] = useState<Connection>({ state: "connecting" });
  const [, redraw] = useReducer<number, void>((count) => count + 1, 0);
  const now = useClock(client);
  const route = useRoute();

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let lost = false;
    const redrawSoon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        redraw();
      }, REDRAW_MS);
    };
    void follow(client, {
      event: (event) => {
        if (fleet.apply(event, Date.now() + client.clockOffset)) redrawSoon();
      },
      connection: (next) => {
        setConnection(next);
        const at = Date.now() + client.clockOffset;
        if (next.state === "lost" && !lost) {
          fleet.note({ severity: "bad", subject: "this page", text: `lost the connection: ${next.problem.message}` }, at);
        } else if (next.state === "open" && lost) {
          fleet.note({ severity: "good", subject: "this page", text: "connected again" }, at);
        }
        if (next.state !== "connecting") lost = next.state === "lost";
      },
      unauthorized: () => onSignOut("The token was revoked or is no longer known. Sign in again."),
    }, abort.signal);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [client, fleet, onSignOut]);

  useEffect(() => {
    document.title = `${connection.state === "lost" ? "⚠ " : ""}${TITLES[route.view]} · pgherd`;
  }, [connection.state, route.view]);

  const desk: Desk = { client, session, fleet, now };
  return (
    <DeskContext.Provider value={desk}>
      <a class="skip" href="#main" onClick={focusMain}>Skip to content</a>
      <header class="bar">
        <a class="brand" href={href("fleet")}><Logo /> pgherd</a>
        <nav aria-label="Views">
          {VIEWS.map((view) => (
            <a key={view} href={href(view)} aria-current={view === route.view ? "page" : undefined}>{TITLES[view]}</a>
          ))}
        </nav>
        <div class="who">
          <Live connection={connection} />
          <span class="muted" title={`signed in as ${session.name}, role ${session.role}`}>
            {session.name === session.role ? session.name : `${session.name} (${session.role})`}
          </span>
          <button class="small" onClick={() => onSignOut(null)}>Sign out</button>
        </div>
      </header>
      <Banner connection={connection} fleet={fleet} />
      <main id="main" tabIndex={-1} class={connection.state === "lost" ? "stale" : undefined}>
        <h1 class="hidden">{TITLES[route.view]}</h1>
        {route.view === "fleet" && <FleetView />}
        {route.view === "clusters" && <Clusters only={route.item} />}
        {route.view === "bans" && <Bans />}
        {route.view === "proxies" && <Proxies />}
        {route.view === "revisions" && <Revisions selected={route.item} />}
        {route.view === "events" && <Events />}
      </main>
      <footer class="muted small">
        pgherd {session.version} · <a href="api/docs">REST API</a> · <a href="metrics">metrics</a>
      </footer>
    </DeskContext.Provider>
  );
}

// The address belongs to the views, so a link within the page must not change it.
function focusMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** The server's time, once a second. */
function useClock(client: Client): number {
  const [now, setNow] = useState(() => Date.now() + client.clockOffset);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() + client.clockOffset), 1_000);
    return () => clearInterval(timer);
  }, [client]);
  return now;
}

function Live({ connection }: { connection: Connection }) {
  switch (connection.state) {
    case "connecting":
      return <Status tone="none">Connecting</Status>;
    case "open":
      return <Status tone="good">Live</Status>;
    case "lost":
      return <Status tone="bad">Not live</Status>;
  }
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

function Banner({ connection, fleet }: { connection: Connection; fleet: Fleet }) {
  if (connection.state === "lost") {
    const seconds = Math.max(Math.ceil((connection.retryAt - Date.now()) / 1000), 0);
    return (
      <div class="banner bad" role="alert">
        <strong>Connection lost, reconnecting.</strong>{" "}
        {[connection.problem.title, connection.problem.detail].filter(Boolean).map(sentence).join(" ")}{" "}
        <span aria-hidden="true">
          {fleet.topology !== null && `What you see is ${span(Date.now() - connection.since)} old. `}
          {seconds > 0 ? `Next try in ${seconds} s.` : "Trying now …"}
        </span>
      </div>
    );
  }
  if (!fleet.database.available) {
    return (
      <div class="banner warn" role="alert">
        <strong>The control plane cannot reach its database.</strong> The proxies go on working;
        nothing can be changed until it is back. {fleet.database.detail && sentence(`Reason: ${fleet.database.detail}`)}
      </div>
    );
  }
  return null;
}
