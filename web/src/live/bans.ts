/** Bans in words. */
import type { Ban } from "../api/types";

/** Whose it is and for whom: `by hand`, `by the fleet`, `in zone a`, `by p1 for itself`. */
export function banSource(ban: Ban): string {
  switch (ban.source) {
    case "manual":
      return "by hand";
    case "fleet":
      return ban.zone === null ? "by the fleet" : `in zone ${ban.zone || "(none)"}`;
    case "local":
      return `by ${ban.proxy ?? "a proxy"} for itself`;
  }
}

/** A class of evidence in words. */
export const className = (name: string): string => name.replaceAll("_", " ");

/** What is left of a ban in milliseconds, for a list that came at `at`; null for one without an end. */
export function remaining(ban: Ban, at: number, now: number): number | null {
  if (ban.remaining_seconds === null) return null;
  return Math.max(ban.remaining_seconds * 1000 - (now - at), 0);
}
