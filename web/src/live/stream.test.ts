import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Client } from "../api/client";
import { follow, type StreamHandlers } from "./stream";

/** A server that answers the n-th connection as the n-th of `answers` says, and the last one for ever. */
async function serve(...answers: ((response: ServerResponse) => void)[]): Promise<string> {
  let connections = 0;
  const server = createServer((request, response) => {
    expect(request.headers.authorization).toBe("Bearer secret");
    answers[Math.min(connections++, answers.length - 1)]?.(response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  cleanUp.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const action of cleanUp.splice(0)) action();
});

const open = (response: ServerResponse, text: string) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(text);
};

/** Follows the stream until what was told holds `wanted`; gives back all that was told. */
async function told(base: string, wanted: string, silenceMs = 20_000): Promise<string[]> {
  const lines: string[] = [];
  const abort = new AbortController();
  cleanUp.push(() => abort.abort());
  await new Promise<void>((done) => {
    const tell = (line: string) => {
      lines.push(line);
      if (line === wanted) done();
    };
    const handlers: StreamHandlers = {
      event: (event) => tell(`${event.name} ${event.data}`),
      connection: (next) => tell(next.state === "lost" ? `lost: ${next.problem.title}` : next.state),
      unauthorized: (problem) => tell(`unauthorized: ${problem.title}`),
    };
    void follow(new Client("secret", base), handlers, abort.signal, silenceMs);
  });
  return lines;
}

it("reads on after the server has closed the connection", async () => {
  const base = await serve(
    (response) => {
      open(response, "event: a\ndata: 1\n\nevent: a\ndata: cut of");
      response.end();
    },
    (response) => open(response, "event: a\ndata: 2\n\n"),
  );
  expect(await told(base, "a 2")).toEqual([
    "connecting", "open", "a 1", "lost: The control plane closed the connection", "open", "a 2",
  ]);
});

it("tells what the server says when it refuses, and tries again", async () => {
  const base = await serve(
    (response) => {
      response.writeHead(503, { "content-type": "application/problem+json" });
      response.end(JSON.stringify({ title: "Starting", status: 503 }));
    },
    (response) => open(response, "data: x\n\n"),
  );
  expect(await told(base, "message x")).toEqual(["connecting", "lost: Starting", "open", "message x"]);
});

it("does not try again with a token that is not accepted", async () => {
  const base = await serve((response) => {
    response.writeHead(401, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ title: "Revoked" }));
  });
  expect(await told(base, "unauthorized: Revoked")).toEqual(["connecting", "unauthorized: Revoked"]);
});

it("notices a server that is connected and silent", async () => {
  const base = await serve(
    (response) => open(response, ": hello\n\n"),
    (response) => open(response, "data: back\n\n"),
  );
  expect(await told(base, "message back", 200)).toEqual([
    "connecting", "open", "lost: The control plane fell silent", "open", "message back",
  ]);
});

it("tells when nobody answers", async () => {
  const base = await serve(() => undefined);
  cleanUp.splice(0).forEach((action) => action());
  expect(await told(base, "lost: No answer from the control plane")).toHaveLength(2);
});
