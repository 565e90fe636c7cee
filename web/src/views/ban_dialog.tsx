/** Bans an instance by hand, with a reason and for a time. */
import { useEffect, useRef, useState } from "preact/hooks";
import { asProblem, type Problem } from "../api/problem";
import { useDesk } from "../context";
import { addressOf } from "../live/instances";
import { ProblemBox } from "../ui/problem";

interface Address {
  host: string;
  port: number;
}

interface Props {
  /** Which one; without it the person chooses. */
  instance: Address | null;
  onClose(): void;
}

const TIMES: [label: string, duration: string | null][] = [
  ["15 min", "15m"],
  ["1 h", "1h"],
  ["1 day", "1d"],
  ["Until lifted", null],
];

export function BanDialog({ instance, onClose }: Props) {
  const { client, fleet } = useDesk();
  const dialog = useRef<HTMLDialogElement>(null);
  const reason = useRef<HTMLInputElement>(null);
  const all = addresses(fleet.topology?.clusters.flatMap(({ document }) => document.shards) ?? []);
  const [chosen, setChosen] = useState(0);
  const [time, setTime] = useState(1);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);

  useEffect(() => {
    dialog.current?.showModal();
    reason.current?.focus();
  }, []);

  const target = instance ?? all[chosen];
  const confirm = async (event: Event) => {
    event.preventDefault();
    if (target === undefined) return;
    setBusy(true);
    setProblem(null);
    const duration = TIMES[time]?.[1] ?? null;
    try {
      // The list comes anew by itself.
      await client.make("/bans", {
        host: target.host, port: target.port, reason: reason.current?.value ?? "",
        ...(duration === null ? {} : { duration }),
      });
      onClose();
    } catch (error) {
      setBusy(false);
      setProblem(asProblem(error));
    }
  };

  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="ban-title">
      <form class="fields" onSubmit={(event) => void confirm(event)}>
        <h2 id="ban-title">{instance === null ? "Ban an instance" : `Ban ${addressOf(instance)}?`}</h2>
        <p>No proxy sends it reads until the ban is lifted or its time is over. A primary still gets writes.</p>
        {instance === null && (
          <div>
            <label for="ban-instance">Instance</label>
            <select id="ban-instance" value={chosen} onChange={(event) => setChosen(Number(event.currentTarget.value))}>
              {all.map((it, index) => <option key={index} value={index}>{addressOf(it)}</option>)}
            </select>
          </div>
        )}
        <div>
          <label for="ban-reason">Reason</label>
          <input id="ban-reason" ref={reason} required maxLength={500} autocomplete="off" />
        </div>
        <div>
          <label id="ban-time">For</label>
          <div class="choice" role="group" aria-labelledby="ban-time">
            {TIMES.map(([label], index) => (
              <button key={label} type="button" aria-pressed={index === time} onClick={() => setTime(index)}>{label}</button>
            ))}
          </div>
        </div>
        {problem && <ProblemBox problem={problem} />}
        <div class="tools end">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" class="danger" disabled={busy || target === undefined}>{busy ? "Banning …" : "Ban"}</button>
        </div>
      </form>
    </dialog>
  );
}

/** Each address of the topology once. */
function addresses(shards: { instances: Address[] }[]): Address[] {
  const all = shards.flatMap((shard) => shard.instances).map((it): [string, Address] => [addressOf(it), it]);
  return [...new Map(all).values()].sort((a, b) => addressOf(a).localeCompare(addressOf(b), "en", { numeric: true }));
}
