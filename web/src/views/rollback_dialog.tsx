/** Asks before the topology goes back to an older revision. */
import { useEffect, useRef, useState } from "preact/hooks";
import { asProblem, type Problem } from "../api/problem";
import type { ChangeReceipt } from "../api/types";
import { useDesk } from "../context";
import { href } from "../route";
import { ProblemBox } from "../ui/problem";

interface Props {
  number: number;
  current: number;
  onClose(): void;
}

export function RollbackDialog({ number, current, onClose }: Props) {
  const { client } = useDesk();
  const dialog = useRef<HTMLDialogElement>(null);
  const reason = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);

  useEffect(() => dialog.current?.showModal(), []);

  const confirm = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const receipt = await client.act<ChangeReceipt>(`/revisions/${number}/rollback`, reason.current?.value ?? "");
      onClose();
      if (receipt !== null) location.hash = href("revisions", receipt.revision);
    } catch (error) {
      setBusy(false);
      setProblem(asProblem(error));
    }
  };

  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="rollback-title">
      <form onSubmit={(event) => void confirm(event)}>
        <h2 id="rollback-title">Roll back to revision {number}?</h2>
        <p>
          All clusters become what they were at revision {number}. This makes a new revision after {current};
          every connected proxy runs it at once.
        </p>
        <label for="reason">Reason (kept with the revision)</label>
        <input id="reason" ref={reason} maxLength={500} autocomplete="off" />
        {problem && <ProblemBox problem={problem} />}
        <div class="tools end">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" class="danger" disabled={busy}>{busy ? "Rolling back …" : `Roll back to ${number}`}</button>
        </div>
      </form>
    </dialog>
  );
}
