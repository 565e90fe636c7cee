import { expect, it } from "vitest";
import type { Revision } from "../api/types";
import { extended, PAGE_LENGTH, refreshed, type Page } from "./history";

const revisions = (from: number, to: number): Revision[] =>
  Array.from({ length: from - to + 1 }, (_, index) => ({
    number: from - index,
    created_at: "",
    author: "",
    reason: null,
    action: "put",
    cluster: null,
    rolled_back_to: null,
  }));

const show = (page: Page) =>
  `${page.list[0]?.number}..${page.list.at(-1)?.number} of ${page.current}${page.complete ? " complete" : ""}`;

const first = refreshed(null, { current: 120, revisions: revisions(120, 71) });

it("begins with the newest page", () => {
  expect(PAGE_LENGTH).toBe(50);
  expect(show(first)).toBe("120..71 of 120");
  expect(show(refreshed(null, { current: 3, revisions: revisions(3, 1) }))).toBe("3..1 of 3 complete");
  expect(show(refreshed(null, { current: 0, revisions: [] }))).toBe("undefined..undefined of 0 complete");
});

it("grows at its end until the beginning is there", () => {
  const second = extended(first, revisions(70, 21));
  expect(show(second)).toBe("120..21 of 120");
  expect(show(extended(second, revisions(20, 1)))).toBe("120..1 of 120 complete");
  // Asked for twice by an impatient click:
  expect(extended(second, revisions(70, 21)).list).toHaveLength(100);
});

it("keeps what is known when newer ones come", () => {
  const all = extended(extended(first, revisions(70, 21)), revisions(20, 1));
  expect(show(refreshed(all, { current: 122, revisions: revisions(122, 73) }))).toBe("122..1 of 122 complete");
  expect(refreshed(all, { current: 122, revisions: revisions(122, 73) }).list).toHaveLength(122);
});

it("starts anew when more came than fit a page", () => {
  expect(show(refreshed(first, { current: 300, revisions: revisions(300, 251) }))).toBe("300..251 of 300");
});
