/** Line differences between two texts: Myers's algorithm, bounded, cut into hunks. */

export type Change = "same" | "added" | "removed";

export interface DiffLine {
  change: Change;
  text: string;
  /** Line number in the old text, from 1; null for an added line. */
  before: number | null;
  /** Line number in the new text, from 1; null for a removed line. */
  after: number | null;
}

// Beyond this many edits the texts share too little for an edit script to say anything; the memory
// that the search needs grows with its square (4 MiB here).
const MOST_EDITS = 1_400;

/** Every line of both texts, in an order that reads as an edit. */
export function diffLines(before: string[], after: string[]): DiffLine[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;

  const same = (count: number) => new Array<Change>(count).fill("same");
  const middle = editScript(
    before.slice(head, before.length - tail),
    after.slice(head, after.length - tail),
  );
  return numbered([...same(head), ...middle, ...same(tail)], before, after);
}

function numbered(changes: Change[], before: string[], after: string[]): DiffLine[] {
  let old = 0;
  let now = 0;
  return changes.map((change) => {
    const text = (change === "added" ? after[now] : before[old]) ?? "";
    if (change !== "added") old++;
    if (change !== "removed") now++;
    return {
      change,
      text,
      before: change === "added" ? null : old,
      after: change === "removed" ? null : now,
    };
  });
}

/** How far each diagonal reaches after `edits` edits: diagonal k stands at (k + edits) / 2. */
type Reach = Int32Array;

function at(reach: Reach | undefined, edits: number, diagonal: number): number {
  return reach?.[(diagonal + edits) / 2] ?? -1;
}

/** Whether the furthest path on a diagonal comes from an added line (else from a removed one). */
function comesFromAbove(reach: Reach | undefined, edits: number, diagonal: number): boolean {
  if (diagonal === -edits) return true;
  if (diagonal === edits) return false;
  return at(reach, edits - 1, diagonal - 1) < at(reach, edits - 1, diagonal + 1);
}

function search(before: string[], after: string[]): Reach[] | null {
  const trace: Reach[] = [];
  const most = Math.min(before.length + after.length, MOST_EDITS);
  for (let edits = 0; edits <= most; edits++) {
    const last = trace.at(-1);
    const reach = new Int32Array(edits + 1);
    trace.push(reach);
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = 0;
      if (edits > 0) {
        x = comesFromAbove(last, edits, diagonal)
          ? at(last, edits - 1, diagonal + 1)
          : at(last, edits - 1, diagonal - 1) + 1;
      }
      let y = x - diagonal;
      while (x < before.length && y < after.length && before[x] === after[y]) {
        x++;
        y++;
      }
      reach[(diagonal + edits) / 2] = x;
      if (x >= before.length && y >= after.length) return trace;
    }
  }
  return null;
}

function editScript(before: string[], after: string[]): Change[] {
  const trace = search(before, after);
  if (trace === null) {
    return [...before.map((): Change => "removed"), ...after.map((): Change => "added")];
  }
  const changes: Change[] = [];
  let x = before.length;
  let y = after.length;
  for (let edits = trace.length - 1; edits > 0; edits--) {
    const last = trace[edits - 1];
    const above = comesFromAbove(last, edits, x - y);
    const from = above ? x - y + 1 : x - y - 1;
    const fromX = at(last, edits - 1, from);
    const startX = above ? fromX : fromX + 1;
    for (; x > startX; x--, y--) changes.push("same");
    changes.push(above ? "added" : "removed");
    x = fromX;
    y = fromX - from;
  }
  for (; x > 0; x--) changes.push("same");
  return changes.reverse();
}

/** The changed lines with `context` lines around them; an empty list when nothing changed. */
export function hunks(lines: DiffLine[], context = 3): DiffLine[][] {
  const result: DiffLine[][] = [];
  let end = 0;
  lines.forEach((line, index) => {
    if (line.change === "same") return;
    const start = Math.max(index - context, end, 0);
    const open = result.at(-1);
    const stop = Math.min(index + context + 1, lines.length);
    if (open !== undefined && start <= end) open.push(...lines.slice(end, stop));
    else result.push(lines.slice(start, stop));
    end = stop;
  });
  return result;
}

/** A document as lines, keys in the order in which the server gave them. */
export function documentLines(document: unknown): string[] {
  return JSON.stringify(document ?? {}, null, 2).split("\n");
}
