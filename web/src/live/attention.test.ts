import { expect, it } from "vitest";
import type { Proxy } from "../api/types";
import { attention } from "./attention";
import { Instances } from "./instances";
import { health, proxy, topology } from "./fixtures";

const nack = { generation: 4, code: "x", pointer: "", message: "no such host", retriable: false, at: "t" };

const rows: [string, Proxy[], string[]][] = [
  ["nothing when all is well", [proxy("a", { health: [health(true)] })], []],
  [
    "an instance that nobody reaches",
    [proxy("a", { health: [health(false, "refused")] })],
    ["bad app 10.0.0.1:5432: unreachable: refused"],
  ],
  [
    "an instance that some do not reach",
    [proxy("a", { health: [health(true)] }), proxy("b", { health: [health(false)] })],
    ["warn app 10.0.0.1:5432: unreachable for 1 of 2 proxies"],
  ],
  [
    "proxies that are away, behind, or refuse, worst first",
    [
      proxy("a", { state: "disconnected", up_to_date: false }),
      proxy("b", { up_to_date: false }),
      proxy("c", { up_to_date: false, last_nack: nack }),
    ],
    ["bad c: refused generation 4: no such host", "warn a: not connected", "warn b: does not run the current revision yet"],
  ],
  ["not a refusal that is over", [proxy("a", { last_nack: nack })], []],
];

it.each(rows)("shows %s", (_name, proxies, expected) => {
  const concerns = attention(topology(4, [["app", 4]]), proxies, new Instances(proxies));
  expect(concerns.map((concern) => `${concern.tone} ${concern.subject}: ${concern.text}`)).toEqual(expected);
});
