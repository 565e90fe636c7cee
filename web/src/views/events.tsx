/** What happened: to the fleet since the page was opened, and through the API before that. */
import { useDesk } from "../context";
import { clock } from "../format";
import { Empty, Section, Status } from "../ui/bits";
import { Audit } from "./audit";

export function Events() {
  const { fleet, session } = useDesk();
  return (
    <>
      <Section title="Fleet" aside={<span class="muted">since this page was opened</span>}>
        {fleet.log.length === 0 ? (
          <Empty title="Nothing has happened yet">
            <p>Proxies that come and go, instances that fail, and changes of the topology are listed here.</p>
          </Empty>
        ) : (
          <ol class="log" aria-live="polite" aria-relevant="additions">
            {fleet.log.map((entry) => (
              <li key={entry.number}>
                <time>{clock(entry.at)}</time>
                <Status tone={entry.severity === "info" ? "none" : entry.severity}>{entry.subject}</Status>
                <span>{entry.text}</span>
              </li>
            ))}
          </ol>
        )}
      </Section>
      {session.role === "admin" && <Audit />}
    </>
  );
}
