import { expect, it } from "vitest";
import { href, parseRoute } from "./route";

it.each([
  ["", "fleet", null],
  ["#/", "fleet", null],
  ["#/nonsense/x", "fleet", null],
  ["#/clusters", "clusters", null],
  ["#/clusters/", "clusters", null],
  ["#/clusters/a%2Fb", "clusters", "a/b"],
  ["#/clusters/100%", "clusters", "100%"],
  [href("revisions", 12), "revisions", "12"],
  [href("clusters", "*"), "clusters", "*"],
])("%j names the view %j and the item %j", (hash, view, item) => {
  expect(parseRoute(hash)).toEqual({ view, item });
});
