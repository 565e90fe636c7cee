/** Who did what through the API, newest first; only for admins. */
import type { AuditEntry } from "../api/types";
import { useDesk } from "../context";
import { ago, dateTime } from "../format";
import { href } from "../route";
import { Cell, Section } from "../ui/bits";
import { useLoad } from "../ui/load";
import { ProblemBox } from "../ui/problem";

export function Audit() {
  const { client, fleet, now } = useDesk();
  // Most of what is audited makes a revision; the button is for the rest.
  const { value, problem, reload } = useLoad(`${fleet.topology?.revision}`, (signal) =>
    client.read<{ entries: AuditEntry[] }>("/audit?limit=100", signal),
  );
  return (
    <Section title="Audit log" aside={<button class="small" onClick={reload}>Read again</button>}>
      {problem && <ProblemBox problem={problem} />}
      {value !== null && value.entries.length > 0 && (
        <table class="rows">
          <thead>
            <tr>
              <th scope="col">Action</th>
              <th scope="col">On</th>
              <th scope="col">By</th>
              <th scope="col">Time</th>
              <th scope="col">Detail</th>
              <th scope="col" class="num">Revision</th>
            </tr>
          </thead>
          <tbody>
            {value.entries.map((entry) => (
              <tr key={entry.id}>
                <Cell label="Action"><span class="name">{entry.action}</span></Cell>
                <Cell label="On">{entry.target ?? "–"}</Cell>
                <Cell label="By">{entry.actor}</Cell>
                <Cell label="Time" title={dateTime(entry.at)}>{ago(entry.at, now)}</Cell>
                <Cell label="Detail">{entry.detail ?? "–"}</Cell>
                <Cell label="Revision" num>
                  {entry.revision === null ? "–" : <a href={href("revisions", entry.revision)}>{entry.revision}</a>}
                </Cell>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {value !== null && value.entries.length === 0 && <p class="muted pad">Nothing yet.</p>}
    </Section>
  );
}
