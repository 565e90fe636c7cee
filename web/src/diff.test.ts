import { describe, expect, it } from "vitest";
import { diffLines, documentLines, hunks, type DiffLine } from "./diff";

const sign = { same: " ", added: "+", removed: "-" } as const;
const show = (lines: DiffLine[]) => lines.map((line) => sign[line.change] + line.text).join("|");
const diff = (before: string, after: string) => diffLines([...before], [...after]);

/** A small generator with a fixed seed, so that a failure can be had again. */
function random(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

describe("a diff", () => {
  const rows: [string, string, string][] = [
    ["", "", ""],
    ["abc", "abc", " a| b| c"],
    ["", "ab", "+a|+b"],
    ["ab", "", "-a|-b"],
    ["abc", "axc", " a|-b|+x| c"],
    ["abcabba", "cbabac", "-a|-b| c|+b| a| b|-b| a|+c"],
    ["aaa", "aa", " a| a|-a"],
  ];
  it.each(rows)("of %j and %j is %j", (before, after, expected) => {
    expect(show(diff(before, after))).toBe(expected);
  });

  it("holds both texts, numbered, for a thousand random pairs", () => {
    const next = random(20261121);
    for (let round = 0; round < 1000; round++) {
      const text = () =>
        Array.from({ length: Math.floor(next() * 12) }, () => "abcd"[Math.floor(next() * 4)]!);
      const [before, after] = [text(), text()];
      const lines = diffLines(before, after);
      const old = lines.filter((line) => line.change !== "added");
      const now = lines.filter((line) => line.change !== "removed");
      expect(old.map((line) => line.text)).toEqual(before);
      expect(now.map((line) => line.text)).toEqual(after);
      expect(old.map((line) => line.before)).toEqual(before.map((_, index) => index + 1));
      expect(now.map((line) => line.after)).toEqual(after.map((_, index) => index + 1));
    }
  });

  it("of two large texts without a common line ends soon", () => {
    const lines = (mark: string) => Array.from({ length: 20_000 }, (_, index) => mark + index);
    const started = performance.now();
    expect(diffLines(lines("a"), lines("b"))).toHaveLength(40_000);
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});

describe("hunks", () => {
  it("are none when nothing changed", () => {
    expect(hunks(diff("abc", "abc"))).toEqual([]);
  });

  it("keep lines around a change and leave out the rest", () => {
    expect(hunks(diff("abcdefghij", "abcdeXghij"), 2).map(show)).toEqual([" d| e|-f|+X| g| h"]);
  });

  it("join when their context touches, and stay apart when it does not", () => {
    const join = hunks(diff("abcdef", "XbcdeY"), 2).map(show);
    expect(join).toEqual(["-a|+X| b| c| d| e|-f|+Y"]);
    const apart = hunks(diff("abcdefg", "XbcdefY"), 2).map(show);
    expect(apart).toEqual(["-a|+X| b| c", " e| f|-g|+Y"]);
  });
});

describe("a document", () => {
  it("reads as lines", () => {
    expect(documentLines({ a: [1] })).toEqual(["{", '  "a": [', "    1", "  ]", "}"]);
  });
});
