import { describe, expect, it } from "vitest";
import { asProblem, isUnauthorized, Problem, problemOf } from "./problem";

describe("a problem", () => {
  it("carries what the problem document says", () => {
    const body = JSON.stringify({
      type: "about:blank",
      title: "The cluster is not valid",
      status: 422,
      detail: "2 errors",
      errors: [{ pointer: "/users/0", code: "unknown_key", message: "no such key" }, "odd"],
    });
    const problem = problemOf(422, "application/problem+json", body);
    expect(problem.title).toBe("The cluster is not valid");
    expect(problem.message).toBe("The cluster is not valid: 2 errors");
    expect(problem.fields).toEqual([
      { pointer: "/users/0", code: "unknown_key", message: "no such key" },
    ]);
  });

  it.each([
    [401, "text/html", "<h1>", "The token is not valid", ""],
    [502, "text/plain; charset=utf-8", "bad gateway", "The control plane failed", "bad gateway"],
    [400, "application/json", "{cut", "The request was refused", ""],
    [404, "application/json", "[]", "Not found", ""],
    [403, "application/problem+json", "{}", "This token may not do that", ""],
  ])("is made of status %j with a body of %j %j", (status, type, body, title, detail) => {
    const problem = problemOf(status, type, body);
    expect([problem.title, problem.detail]).toEqual([title, detail]);
  });

  it("is made of whatever was thrown", () => {
    expect(asProblem(new TypeError("Failed to fetch")).title).toBe("No answer from the control plane");
    expect(asProblem("odd").detail).toBe("odd");
    expect(isUnauthorized(new Problem(401, "", ""))).toBe(true);
    expect(isUnauthorized(new Error("401"))).toBe(false);
  });
});
