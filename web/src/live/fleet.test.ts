import { describe, expect, it } from "vitest";
import type { Proxy, Statistics } from "../api/types";
import { Fleet } from "./fleet";
import { health, proxy, statistics, topology } from "./fixtures";
import { Instances } from "./instances";

const event = (name: string, data: unknown) => ({ name, data: JSON.stringify(data), id: "" });

function proxies(fleet: Fleet, list: Proxy[], now = 0): void {
  fleet.apply(event("proxies", { current: { lineage: "l", generation: 1, revision: 1 }, proxies: list }), now);
}

function report(fleet: Fleet, now: number, latest: Record<string, Statistics>): void {
  const list = Object.entries(latest).map(([id, reported]) => ({ id, statistics: reported }));
  fleet.apply(event("statistics", { at: "", proxies: list }), now);
}

const told = (fleet: Fleet) => fleet.log.map((entry) => `${entry.severity} ${entry.subject}: ${entry.text}`);

describe("the fleet", () => {
  it("adds up the transactions of its proxies", () => {
    const fleet = new Fleet();
    proxies(fleet, [proxy("a"), proxy("b")]);
    expect(fleet.fleetRate()).toBeNull();
    report(fleet, 0, { a: statistics(0, 1000), b: statistics(0, 0) });
    report(fleet, 2000, { a: statistics(2, 1200), b: statistics(2, 50) });
    expect(fleet.proxyRate("a")).toBe(100);
    expect(fleet.fleetRate()).toBe(125);
    expect(fleet.instanceRate("app", 0, "10.0.0.1:5432")).toBe(125);
    expect(fleet.instanceRate("app", 0, "10.0.0.2:5432")).toBeNull();
    expect(fleet.instanceRate("app", 1, "10.0.0.1:5432")).toBeNull();
    expect(fleet.history.points).toEqual([{ at: 2000, value: 125 }]);
  });

  it("leaves out proxies that are gone, and starts anew when they come back", () => {
    const fleet = new Fleet();
    proxies(fleet, [proxy("a")]);
    report(fleet, 0, { a: statistics(0, 0) });
    report(fleet, 2000, { a: statistics(2, 200) });
    proxies(fleet, [proxy("a", { state: "disconnected" })]);
    expect(fleet.fleetRate()).toBeNull();
    expect(fleet.instanceRate("app", 0, "10.0.0.1:5432")).toBeNull();
    proxies(fleet, [proxy("a", { incarnation: "a-second", statistics: statistics(9, 10) })]);
    expect(fleet.proxyRate("a")).toBeNull();
    report(fleet, 11_000, { a: statistics(11, 30) });
    expect(fleet.proxyRate("a")).toBe(10);
  });

  it("ignores events that it does not know and statistics of unknown proxies", () => {
    const fleet = new Fleet();
    expect(fleet.apply(event("weather", {}), 0)).toBe(false);
    report(fleet, 0, { a: statistics(0, 0) });
    expect(fleet.proxies).toBeNull();
  });
});

describe("the log", () => {
  it("tells what happened to proxies, newest first", () => {
    const fleet = new Fleet();
    proxies(fleet, [proxy("a"), proxy("b", { state: "disconnected" })]);
    const nack = { generation: 2, code: "x", pointer: "", message: "no", retriable: false, at: "t" };
    proxies(fleet, [proxy("a", { state: "disconnected" }), proxy("b", { last_nack: nack })]);
    proxies(fleet, [proxy("b", { last_nack: nack, held: { lineage: "l", generation: 2 } })]);
    expect(told(fleet)).toEqual([
      "info b: runs generation 2",
      "info a: forgotten",
      "bad a: disconnected",
      "good b: connected",
      "bad b: refused generation 2: no",
      "info fleet: 1 proxy connected",
    ]);
  });

  it("tells once when an instance cannot be reached and when it can again", () => {
    const fleet = new Fleet();
    proxies(fleet, [proxy("a", { health: [health(true)] })]);
    proxies(fleet, [proxy("a", { health: [health(false, "refused")] })]);
    proxies(fleet, [proxy("a", { health: [health(false, "refused")] }), proxy("b", { health: [health(false)] })]);
    proxies(fleet, [proxy("a", { health: [health(true)] })]);
    expect(told(fleet).filter((line) => line.includes("reachable"))).toEqual([
      "good app 10.0.0.1:5432: reachable again for every proxy",
      "bad app 10.0.0.1:5432: unreachable for a: refused",
    ]);
  });

  it("tells what a revision changed", () => {
    const fleet = new Fleet();
    fleet.apply(event("topology", topology(3, [["app", 3], ["old", 1]])), 0);
    fleet.apply(event("topology", topology(4, [["app", 4], ["new", 4]])), 1);
    fleet.apply(event("topology", topology(4, [["app", 4], ["new", 4]])), 2);
    expect(told(fleet)).toEqual([
      "info revision 4: cluster app changed, cluster new added, cluster old deleted",
    ]);
  });

  it("tells when the control plane loses its database", () => {
    const fleet = new Fleet();
    fleet.apply(event("database", { available: true, detail: null }), 0);
    fleet.apply(event("database", { available: false, detail: "refused" }), 1);
    expect(told(fleet)).toEqual(["bad control plane: its database is away: refused"]);
  });
});

describe("an instance", () => {
  const instance = { host: "10.0.0.1", port: 5432, role: "primary" as const };

  it("has the pools of all users and proxies added up", () => {
    const list = [
      proxy("a", { statistics: statistics(0, 0), health: [health(true)] }),
      proxy("b", { statistics: statistics(0, 0), health: [health(false, "refused")] }),
      proxy("c", { statistics: statistics(0, 0), health: [health(false)], state: "disconnected" }),
    ];
    expect(new Instances(list).view("app", 0, instance)).toEqual({
      address: "10.0.0.1:5432",
      shard: 0,
      active: 6,
      idle: 4,
      waiting: 8,
      witnesses: 2,
      failing: [{ proxy: "b", detail: "refused" }],
      used: true,
    });
    expect(new Instances(list).view("other", 0, instance).used).toBe(false);
  });

  it("counts as connected to once, whatever clusters and users use it, and not while nothing is open", () => {
    const pool = { cluster: "app", user: "a", shard: 0, instance: "10.0.0.1:5432", active: 1, idle: 0, waiting: 0, transactions: 0 };
    const pools = [pool, { ...pool, cluster: "other" }, { ...pool, instance: "10.0.0.2:5432", active: 0, waiting: 1 }];
    expect(new Instances([proxy("a", { statistics: statistics(0, 0, { pools }) })]).connected()).toBe(1);
  });

  it("may share its address with another shard", () => {
    const pool = { cluster: "app", user: "a", shard: 1, instance: "10.0.0.1:5432", active: 7, idle: 0, waiting: 0, transactions: 0 };
    const pools = [...statistics(0, 0).pools, pool];
    const instances = new Instances([proxy("a", { statistics: statistics(0, 0, { pools }) })]);
    expect(instances.view("app", 0, instance).active).toBe(3);
    expect(instances.view("app", 1, instance).active).toBe(7);
    expect(instances.connected()).toBe(1);
  });
});
