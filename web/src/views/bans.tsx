/** Every ban: of which instance, by whom, on what evidence, and for how long still. */
import { useState } from "preact/hooks";
import { asProblem, type Problem } from "../api/problem";
import type { Ban } from "../api/types";
import { mayOperate, useDesk } from "../context";
import { dateTime, plural, span } from "../format";
import { banSource, className, remaining } from "../live/bans";
import { addressOf } from "../live/instances";
import { href } from "../route";
import { Badge, Cell, Empty, Section, Status } from "../ui/bits";
import { ProblemBox } from "../ui/problem";
import { BanDialog } from "./ban_dialog";

export function Bans() {
  const { fleet, session } = useDesk();
  const [asking, setAsking] = useState(false);
  const list = fleet.bans;
  if (list === null) return <Empty title="Waiting for the first report …" />;
  const possible = mayOperate(session) && (fleet.topology?.clusters.length ?? 0) > 0;
  return (
    <>
      {!list.majority && fleet.connected().length > 0 && (
        <p class="notice apart">Most of the known proxies were not heard, so that the fleet makes no new bans.</p>
      )}
      {list.doubted.length > 0 && (
        <p class="notice apart">
          {list.doubted.join(", ")} {list.doubted.length === 1 ? "fails" : "fail"} against so many instances that
          what {list.doubted.length === 1 ? "it sees" : "they see"} does not count.
        </p>
      )}
      <Section title="Bans" aside={possible && <button class="small" onClick={() => setAsking(true)}>Ban an instance …</button>}>
        {list.bans.length === 0 ? (
          <Empty title="Nothing is banned">
            <p>Instances that fail are banned by the proxies that see it, and by the whole fleet when most of them do.</p>
          </Empty>
        ) : (
          <table class="bans">
            <thead>
              <tr>
                <th scope="col">Instance</th>
                <th scope="col">Banned</th>
                <th scope="col">Why</th>
                <th scope="col">For</th>
                <th scope="col">Remaining</th>
                <th scope="col" class="num">Obeyed by</th>
                <th scope="col"><span class="hidden">Actions</span></th>
              </tr>
            </thead>
            <tbody>{list.bans.map((ban) => <Row key={keyOf(ban)} ban={ban} at={list.at} />)}</tbody>
          </table>
        )}
      </Section>
      {asking && <BanDialog instance={null} onClose={() => setAsking(false)} />}
    </>
  );
}

const keyOf = (ban: Ban): string => [ban.id, ban.source, addressOf(ban), ban.zone, ban.proxy, ban.held_back].join(" ");

function Row({ ban, at }: { ban: Ban; at: number }) {
  const { fleet, now, session } = useDesk();
  const left = remaining(ban, at, now);
  const who = ban.author === null ? undefined : `ordered by ${ban.author} at ${dateTime(ban.created_at)}`;
  return (
    <>
      <tr>
        <Cell label="Instance">
          <div>
            <span class="name">{addressOf(ban)}</span>
            <div class="muted small">
              {ban.places.length === 0 ? "not in the topology" : ban.places.map(({ cluster, shard }, index) => (
                <span key={`${cluster}/${shard}`}>
                  {index > 0 && ", "}<a href={href("clusters", cluster)}>{cluster}</a>{shard > 0 && ` shard ${shard}`}
                </span>
              ))}
            </div>
          </div>
        </Cell>
        <Cell label="Banned" title={who}>
          <div>
            {ban.held_back === null
              ? <Status tone={ban.source === "local" ? "warn" : "bad"}>{banSource(ban)}</Status>
              : <Status tone="warn" title={ban.held_back}>held back</Status>}
            {ban.author !== null && <div class="muted small">{ban.author}</div>}
          </div>
        </Cell>
        <Cell label="Why">
          <div>
            {ban.class !== "manual" && <><Badge>{className(ban.class)}</Badge>{" "}</>}{ban.reason}
            {ban.held_back !== null && <div class="warn small">Used all the same: {ban.held_back}.</div>}
          </div>
        </Cell>
        <Cell label="For"><span class="live">{span(ban.elapsed_seconds * 1000 + Math.max(now - at, 0))}</span></Cell>
        <Cell label="Remaining"><span class="live">{left === null ? endless(ban) : left === 0 ? "being probed" : span(left)}</span></Cell>
        <Cell label="Obeyed by" num>
          <span class="live">{ban.source === "local" || ban.held_back !== null ? "" : `${ban.obeyed_by} of ${fleet.connected().length}`}</span>
        </Cell>
        <td class="act">{ban.id !== null && mayOperate(session) && <Lift id={ban.id} />}</td>
      </tr>
      {ban.evidence.length > 0 && (
        <tr class="under">
          <td colSpan={7}>
            <details>
              <summary>
                {plural(ban.evidence.length, "proxy", "proxies")}
                {ban.voters !== null && ` of ${ban.voters} that watch it`} {ban.evidence.length === 1 ? "sees" : "see"} it failing
              </summary>
              <ul class="evidence">
                {ban.evidence.map((seen) => (
                  <li key={seen.proxy}>
                    <span class="name">{seen.proxy}</span>{seen.zone !== null && <Badge>zone={seen.zone}</Badge>}
                    <span>{className(seen.class)}{seen.detail === "" ? "" : `: ${seen.detail}`}</span>
                    <span class="muted">for {span(seen.lasting_seconds * 1000)}</span>
                  </li>
                ))}
              </ul>
            </details>
          </td>
        </tr>
      )}
    </>
  );
}

const endless = (ban: Ban): string =>
  ban.source === "fleet" ? "until the proxies see it well" : ban.class === "manual" ? "until lifted" : "until a probe succeeds";

function Lift({ id }: { id: string }) {
  const { client } = useDesk();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const lift = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await client.remove(`/bans/${encodeURIComponent(id)}`);
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return (
    <>
      <button class="small" disabled={busy} onClick={() => void lift()}>Lift</button>
      {problem && <ProblemBox problem={problem} />}
    </>
  );
}
