import { expect, it } from "vitest";
import { attention } from "./attention";
import { banSource, remaining } from "./bans";
import { chronicle } from "./chronicle";
import { ban, bans, health, proxy, topology } from "./fixtures";
import { Fleet } from "./fleet";
import { addressOf, Instances } from "./instances";

it.each([
  [ban({ source: "manual" }), "by hand"],
  [ban(), "by the fleet"],
  [ban({ zone: "a" }), "in zone a"],
  [ban({ source: "local", proxy: "p1", zone: "a" }), "by p1 for itself"],
])("says whose a ban is", (given, expected) => {
  expect(banSource(given)).toBe(expected);
});

it("counts the rest of a ban down from when it was told", () => {
  const given = ban({ remaining_seconds: 10 });
  expect(remaining(given, 1_000, 4_000)).toBe(7_000);
  expect(remaining(given, 1_000, 20_000)).toBe(0);
  expect(remaining(ban(), 1_000, 4_000)).toBeNull();
});

it("tells which bans came and went", () => {
  const local = ban({ source: "local", proxy: "p1" });
  const told = (before: ReturnType<typeof bans> | null, after: ReturnType<typeof bans>) =>
    chronicle.bans(before, after, 0).map((entry) => `${entry.severity} ${entry.subject} ${entry.text}`);
  expect(told(null, bans())).toEqual([]);
  expect(told(null, bans(ban()))).toEqual(["warn fleet 1 ban in the list"]);
  expect(told(bans(local), bans(ban()))).toEqual([
    "bad 10.0.0.1:5432 banned by the fleet: connection refused",
    "good 10.0.0.1:5432 no longer banned by p1 for itself",
  ]);
  expect(told(bans(ban()), bans(ban({ elapsed_seconds: 9 })))).toEqual([]);
  expect(told(bans(), bans(ban({ held_back: "it is the last" })))).toEqual([
    "bad 10.0.0.1:5432 would be banned, but is used: connection refused",
  ]);
});

it("counts bans among what needs attention", () => {
  const list = { ...bans(ban({ source: "manual", reason: "disk" }), ban({ held_back: "it is the last" })), doubted: ["p1"] };
  const proxies = [proxy("a", { health: [health(false, "said with the ban")] })];
  const concerns = attention(topology(1, [["app", 1]]), proxies, new Instances(proxies), list);
  expect(concerns.map((concern) => `${concern.tone} ${concern.subject}: ${concern.text}`)).toEqual([
    "bad 10.0.0.1:5432: would be banned, but it is the last: connection refused",
    "warn 10.0.0.1:5432: banned by hand: disk",
    "warn p1: fails against so many instances that what it sees does not count",
  ]);
});

it("keeps what the control plane says of instances and bans", () => {
  const fleet = new Fleet();
  const status = { cluster: "app", shard: 0, host: "::1", port: 5432, role: "replica", lag_ms: 7 };
  const event = (name: string, data: unknown) => fleet.apply({ name, data: JSON.stringify(data), id: "" }, 5_000);
  expect(event("instances", { instances: [status] })).toBe(true);
  expect(fleet.status("app", 0, { host: "::1", port: 5432 })?.lag_ms).toBe(7);
  expect(fleet.status("app", 1, { host: "::1", port: 5432 })).toBeNull();
  expect(event("bans", bans(ban()))).toBe(true);
  expect([fleet.bans?.bans.length, fleet.bans?.at]).toEqual([1, 5_000]);
  expect(addressOf({ host: "::1", port: 5432 })).toBe("[::1]:5432");
});
