/** How long to wait before a connection is tried again. */

const FIRST_MS = 500;
const MOST_MS = 15_000;

/**
 * Jitter: between half and all of a bound that doubles with each failure, so that many open pages do
 * not come back at one moment. `random` gives a number in [0, 1).
 */
export function backoff(failures: number, random: () => number = Math.random): number {
  const bound = Math.min(FIRST_MS * 2 ** Math.max(failures - 1, 0), MOST_MS);
  return Math.round(bound * (0.5 + random() / 2));
}
