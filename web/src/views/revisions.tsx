/** The history of the topology: who changed what, when and why. */
import { useEffect, useState } from "preact/hooks";
import { asProblem, type Problem } from "../api/problem";
import type { Revision, RevisionList } from "../api/types";
import { useDesk } from "../context";
import { ago, dateTime } from "../format";
import { extended, PAGE_LENGTH, refreshed, type Page } from "../live/history";
import { href } from "../route";
import { Badge, Cell, Empty, Section } from "../ui/bits";
import { ProblemBox } from "../ui/problem";
import { RevisionPanel } from "./revision_panel";

export function Revisions({ selected }: { selected: string | null }) {
  const { fleet, now } = useDesk();
  const { page, problem, more } = useHistory(`${fleet.topology?.revision} ${fleet.database.available}`);
  const number = selected === null || !/^\d+$/.test(selected) ? null : Number(selected);
  if (page === null) {
    return problem === null ? <Empty title="Loading …" /> : <ProblemBox problem={problem} />;
  }
  const { list, current, complete } = page;
  return (
    <div class={number === null ? undefined : "split"}>
      <Section title="Revisions">
        {list.length === 0 && <Empty title="No revisions yet"><p>Every change of a cluster makes one.</p></Empty>}
        {list.length > 0 && (
          <table class="rows">
            <thead>
              <tr>
                <th scope="col" class="num">No.</th>
                <th scope="col">Change</th>
                <th scope="col">Author</th>
                <th scope="col">Time</th>
                <th scope="col">Reason</th>
              </tr>
            </thead>
            <tbody>
              {list.map((revision) => (
                <tr key={revision.number} class={revision.number === number ? "chosen" : undefined}>
                  <Cell label="No." num>
                    <a href={href("revisions", revision.number)} aria-current={revision.number === number ? "true" : undefined}>
                      {revision.number}
                    </a>
                  </Cell>
                  <Cell label="Change">
                    <span>{describe(revision)} {revision.number === current && <Badge tone="good">current</Badge>}</span>
                  </Cell>
                  <Cell label="Author">{revision.author}</Cell>
                  <Cell label="Time" title={dateTime(revision.created_at)}>{ago(revision.created_at, now)}</Cell>
                  <Cell label="Reason">{revision.reason ?? <span class="muted">–</span>}</Cell>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {problem && <ProblemBox problem={problem} />}
        {!complete && <button class="more" onClick={more}>Older revisions</button>}
      </Section>
      {number !== null && <RevisionPanel key={number} number={number} current={current} />}
    </div>
  );
}

/** What a revision did, in words. */
export function describe(revision: Revision): string {
  const cluster = revision.cluster === null ? "" : ` ${revision.cluster}`;
  switch (revision.action) {
    case "init":
      return "beginning";
    case "put":
      return `set${cluster}`;
    case "delete":
      return `deleted${cluster}`;
    case "rollback":
      return revision.rolled_back_to === null ? "rolled back" : `rolled back to ${revision.rolled_back_to}`;
    default:
      return revision.action + cluster;
  }
}

interface History {
  page: Page | null;
  problem: Problem | null;
  more(): void;
}

/** The newest revisions, read again when `occasion` changes, and older ones on request. */
function useHistory(occasion: string): History {
  const { client } = useDesk();
  const [page, setPage] = useState<Page | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);

  useEffect(() => {
    const abort = new AbortController();
    client.read<RevisionList>(`/revisions?limit=${PAGE_LENGTH}`, abort.signal).then(
      (newest) => {
        setProblem(null);
        setPage((known) => refreshed(known, newest));
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setProblem(asProblem(error));
      },
    );
    return () => abort.abort();
  }, [client, occasion]);

  const more = () => {
    const oldest = page?.list.at(-1)?.number;
    if (oldest === undefined) return;
    client.read<RevisionList>(`/revisions?before=${oldest}&limit=${PAGE_LENGTH}`).then(
      ({ revisions }) => {
        setProblem(null);
        setPage((known) => known && extended(known, revisions));
      },
      (error: unknown) => setProblem(asProblem(error)),
    );
  };

  return { page, problem, more };
}
