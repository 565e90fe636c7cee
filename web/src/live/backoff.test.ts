import { expect, it } from "vitest";
import { backoff } from "./backoff";

it.each([
  [1, 0, 250],
  [1, 1, 500],
  [2, 1, 1000],
  [5, 1, 8000],
  [6, 1, 15_000],
  [600, 0, 7_500],
])("after %j failures and with the number %j it waits %j ms", (failures, random, expected) => {
  expect(backoff(failures, () => random)).toBe(expected);
});
