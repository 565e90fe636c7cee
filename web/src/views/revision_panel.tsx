/** One revision: what it changed, how it differs from the current one, and the way back to it. */
import { useState } from "preact/hooks";
import type { RevisionDocument } from "../api/types";
import { mayOperate, useDesk } from "../context";
import { dateTime } from "../format";
import { href } from "../route";
import { Section } from "../ui/bits";
import { DiffView } from "../ui/diff_view";
import { useLoad } from "../ui/load";
import { ProblemBox } from "../ui/problem";
import { describe } from "./revisions";
import { RollbackDialog } from "./rollback_dialog";

type Against = "previous" | "current";

export function RevisionPanel({ number, current }: { number: number; current: number }) {
  const { client, session } = useDesk();
  const [against, setAgainst] = useState<Against>("previous");
  const [asking, setAsking] = useState(false);
  const chosen = useLoad(`${number}`, (signal) => client.read<RevisionDocument>(`/revisions/${number}`, signal));
  const otherNumber = against === "current" ? current : number - 1;
  const other = useLoad(`${otherNumber}`, (signal) => revisionOrNothing(client, otherNumber, signal));
  const revision = chosen.value;
  const close = <a href={href("revisions")} aria-label="Close">Close</a>;
  if (chosen.problem) {
    return <Section title={`Revision ${number}`} aside={close}><ProblemBox problem={chosen.problem} /></Section>;
  }
  return (
    <Section title={`Revision ${number}`} aside={close}>
      {revision !== null && (
        <p class="pad">
          {describe(revision)} by <strong>{revision.author}</strong>, {dateTime(revision.created_at)}
          {revision.reason !== null && <>: “{revision.reason}”</>}
        </p>
      )}
      <div class="tools">
        <div role="group" aria-label="Compare with" class="choice">
          <button aria-pressed={against === "previous"} onClick={() => setAgainst("previous")}>What it changed</button>
          <button aria-pressed={against === "current"} disabled={number === current} onClick={() => setAgainst("current")}>
            What a rollback would change
          </button>
        </div>
        {number !== current && mayOperate(session) && (
          <button class="danger" onClick={() => setAsking(true)}>Roll back to {number} …</button>
        )}
      </div>
      {other.problem && <ProblemBox problem={other.problem} />}
      {revision !== null && other.value !== null && (
        <DiffView before={other.value.document} after={revision.document} />
      )}
      {asking && <RollbackDialog number={number} current={current} onClose={() => setAsking(false)} />}
    </Section>
  );
}

type Documented = Pick<RevisionDocument, "document">;

/** Before the first revision there was nothing. */
async function revisionOrNothing(
  client: { read<T>(path: string, signal?: AbortSignal): Promise<T> },
  number: number,
  signal: AbortSignal,
): Promise<Documented> {
  if (number < 1) return { document: { clusters: [] } };
  return client.read<RevisionDocument>(`/revisions/${number}`, signal);
}
