import { describe, expect, it } from "vitest";
import { CounterRate, rate, Series } from "./rate";

describe("a rate", () => {
  const rows: [string, [number, number] | undefined, [number, number], number | null][] = [
    ["needs two readings", undefined, [0, 5], null],
    ["is the growth per second", [0, 100], [2000, 300], 100],
    ["is nothing while nothing happens", [0, 100], [1000, 100], 0],
    ["is unknown when no time has passed", [10, 1], [10, 2], null],
    ["is unknown when time goes back", [10, 1], [5, 2], null],
    ["counts from nothing after a restart", [0, 1000], [1000, 40], 40],
  ];
  it.each(rows)("%s", (_name, before, after, expected) => {
    const sample = (pair: [number, number]) => ({ at: pair[0], value: pair[1] });
    expect(rate(before && sample(before), sample(after))).toBe(expected);
  });
});

describe("the rate of a counter", () => {
  it("is taken over its window", () => {
    const counter = new CounterRate(3000);
    expect(counter.push({ at: 0, value: 0 })).toBeNull();
    for (let second = 1; second <= 10; second++) {
      expect(counter.push({ at: second * 1000, value: second * 50 })).toBe(50);
    }
    expect(counter.push({ at: 13_000, value: 500 })).toBe(0);
  });

  it("smooths readings that arrive unevenly", () => {
    const counter = new CounterRate(2000);
    counter.push({ at: 0, value: 0 });
    counter.push({ at: 1900, value: 100 });
    expect(counter.push({ at: 2000, value: 200 })).toBe(100);
  });

  it("is not changed by a reading that is reported again", () => {
    const counter = new CounterRate(2000);
    counter.push({ at: 0, value: 0 });
    counter.push({ at: 5000, value: 500 });
    expect(counter.push({ at: 5000, value: 500 })).toBe(100);
    expect(counter.push({ at: 5000, value: 500 })).toBe(100);
    expect(counter.push({ at: 10_000, value: 2500 })).toBe(400);
  });

  it("never is negative when the process starts again", () => {
    const counter = new CounterRate();
    counter.push({ at: 0, value: 9000 }, "a");
    counter.push({ at: 1000, value: 9100 }, "a");
    expect(counter.push({ at: 2000, value: 10 }, "b")).toBeNull();
    expect(counter.push({ at: 3000, value: 30 }, "b")).toBe(20);
    expect(counter.push({ at: 4000, value: 5 }, "b")).toBeNull();
  });
});

describe("a series", () => {
  it("keeps the latest points only", () => {
    const series = new Series(3);
    for (let at = 0; at < 10; at++) series.push({ at, value: at });
    expect(series.points.map((point) => point.value)).toEqual([7, 8, 9]);
  });

  it("takes one point for each step", () => {
    const series = new Series(100);
    for (let at = 0; at <= 4000; at += 250) series.push({ at, value: at }, 1000);
    expect(series.points.map((point) => point.at)).toEqual([0, 750, 1500, 2250, 3000, 3750, 4000]);
  });
});
