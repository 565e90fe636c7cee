import { describe, expect, it } from "vitest";
import { ago, clock, count, dateTime, milliseconds, parseTime, perSecond, plural, short, span } from "./format";

describe("counts", () => {
  it.each([
    [0, "0"],
    [1234567, "1,234,567"],
    [null, "–"],
    [undefined, "–"],
    [Number.NaN, "–"],
  ])("%j reads %j", (value, expected) => expect(count(value)).toBe(expected));

  it("take the right form of their noun", () => {
    expect(plural(1, "proxy", "proxies")).toBe("1 proxy");
    expect(plural(0, "proxy", "proxies")).toBe("0 proxies");
    expect(plural(2, "shard")).toBe("2 shards");
  });
});

describe("rates", () => {
  it.each([
    [0, "0"],
    [0.001, "<0.01"],
    [0.42, "0.42"],
    [0.949, "0.95"],
    [0.96, "1.0"],
    [7.54, "7.5"],
    [9.96, "10"],
    [132.4, "132"],
    [9_999.4, "9,999"],
    [9_999.6, "10.0k"],
    [12_345, "12.3k"],
    [123_456, "123k"],
    [999_499, "999k"],
    [999_600, "1.0M"],
    [null, "–"],
    [Infinity, "–"],
  ])("%j reads %j", (value, expected) => expect(perSecond(value)).toBe(expected));
});

describe("times", () => {
  it.each([
    [0, "0 ms"],
    [0.44, "0.4 ms"],
    [9.94, "9.9 ms"],
    [12.4, "12 ms"],
    [3_210, "3.2 s"],
    [185_000, "3 min 5 s"],
    [null, "–"],
  ])("%j ms read %j", (value, expected) => expect(milliseconds(value)).toBe(expected));

  it.each([
    [-5, "0 s"],
    [0, "0 s"],
    [42_900, "42 s"],
    [185_000, "3 min 5 s"],
    [3_600_000, "1 h"],
    [3_605_000, "1 h"],
    [187_200_000, "2 d 4 h"],
  ])("a span of %j ms reads %j", (value, expected) => expect(span(value)).toBe(expected));

  it("say how long ago they were", () => {
    const now = Date.parse("2026-11-21T12:00:00Z");
    expect(ago("2026-11-21T11:59:59Z", now)).toBe("just now");
    expect(ago("2026-11-21T12:00:09Z", now)).toBe("just now"); // clocks differ
    expect(ago("2026-11-21T11:59:18.5Z", now)).toBe("41 s ago");
    expect(ago("2026-11-21T08:30:00Z", now)).toBe("3 h ago");
    expect(ago(null, now)).toBe("–");
    expect(ago("soon", now)).toBe("–");
  });

  it("are shown in the reader's time zone", () => {
    const local = new Date(2026, 10, 21, 4, 5, 6);
    expect(clock(local.getTime())).toBe("04:05:06");
    expect(dateTime(local.toISOString())).toBe("2026-11-21 04:05");
    expect(dateTime(undefined)).toBe("–");
    expect(parseTime("nonsense")).toBeNull();
  });
});

describe("ids", () => {
  it.each([
    ["sha256:0123456789abcdef", "01234567"],
    ["abc", "abc"],
    ["", "–"],
    [null, "–"],
  ])("%j is cut to %j", (value, expected) => expect(short(value)).toBe(expected));
});
