/** Something read from the API: under way, there, or failed. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { asProblem, type Problem } from "../api/problem";

export interface Loaded<T> {
  value: T | null;
  problem: Problem | null;
  reload(): void;
}

/** Reads when `key` changes; a null key reads nothing. A value is only given for the key it was read for. */
export function useLoad<T>(key: string | null, read: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string | null; value: T | null; problem: Problem | null }>({
    key: null,
    value: null,
    problem: null,
  });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    read(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ key, value, problem: null });
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setState({ key, value: null, problem: asProblem(error) });
      },
    );
    return () => abort.abort();
    // `read` is a new function at each drawing; what it reads is named by `key`.
  }, [key, turn]);
  const reload = useCallback(() => setTurn((count) => count + 1), []);
  const current = state.key === key;
  return { value: current ? state.value : null, problem: current ? state.problem : null, reload };
}
