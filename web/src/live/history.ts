/** The list of revisions, newest first, put together from the pages that the API gives. */
import type { Revision, RevisionList } from "../api/types";

export const PAGE_LENGTH = 50;

export interface Page {
  list: Revision[];
  current: number;
  /** Whether the list reaches back to the beginning. */
  complete: boolean;
}

/** The newest page put before what is known already. */
export function refreshed(known: Page | null, newest: RevisionList): Page {
  const oldest = newest.revisions.at(-1)?.number ?? 0;
  const older = (known?.list ?? []).filter((revision) => revision.number < oldest);
  // After many changes at once there may be a gap; then the older ones are asked for anew.
  if (known === null || older[0]?.number !== oldest - 1) {
    return { list: newest.revisions, current: newest.current, complete: newest.revisions.length < PAGE_LENGTH };
  }
  return { list: [...newest.revisions, ...older], current: newest.current, complete: known.complete };
}

/** The next page put behind what is known already. */
export function extended(known: Page, older: Revision[]): Page {
  const oldest = known.list.at(-1)?.number ?? 0;
  return {
    ...known,
    list: [...known.list, ...older.filter((revision) => revision.number < oldest)],
    complete: older.length < PAGE_LENGTH,
  };
}
