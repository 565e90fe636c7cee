/** Keeps the event stream open: reads it, notices when it dies, and opens it again. */
import type { Client } from "../api/client";
import { asProblem, isUnauthorized, Problem } from "../api/problem";
import { backoff } from "./backoff";
import { EventStreamParser, type ServerEvent } from "./sse";

/** The server sends at least a comment every 10 s; after this long without, it counts as gone. */
const SILENCE_MS = 25_000;

export type Connection =
  | { state: "connecting" }
  | { state: "open"; since: number }
  | { state: "lost"; since: number; problem: Problem; retryAt: number };

export interface StreamHandlers {
  event(event: ServerEvent): void;
  connection(connection: Connection): void;
  /** The token is no longer good; nothing is tried again. */
  unauthorized(problem: Problem): void;
}

/** Opens the stream and keeps it open until `signal` aborts. */
export async function follow(
  client: Pick<Client, "events">,
  handlers: StreamHandlers,
  signal: AbortSignal,
  silenceMs = SILENCE_MS,
): Promise<void> {
  let failures = 0;
  let lostSince: number | null = null;
  handlers.connection({ state: "connecting" });
  while (!signal.aborted) {
    let problem: Problem;
    try {
      await readOnce(client, handlers, signal, silenceMs, () => {
        failures = 0;
        lostSince = null;
        handlers.connection({ state: "open", since: Date.now() });
      });
      problem = new Problem(0, "The control plane closed the connection", "");
    } catch (error) {
      problem = asProblem(error);
    }
    if (signal.aborted) return;
    if (isUnauthorized(problem)) {
      handlers.unauthorized(problem);
      return;
    }
    failures++;
    lostSince ??= Date.now();
    const wait = backoff(failures);
    handlers.connection({ state: "lost", since: lostSince, problem, retryAt: Date.now() + wait });
    await pause(wait, signal);
  }
}

async function readOnce(
  client: Pick<Client, "events">,
  handlers: StreamHandlers,
  signal: AbortSignal,
  silenceMs: number,
  opened: () => void,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), silenceMs);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), silenceMs);
  };
  try {
    const stream = await client.events(AbortSignal.any([signal, silence.signal]));
    const reader = stream.getReader();
    const parser = new EventStreamParser();
    opened();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      for (const event of parser.push(value)) handlers.event(event);
    }
  } catch (error) {
    if (silence.signal.aborted && !signal.aborted) {
      throw new Problem(0, "The control plane fell silent", `Nothing came for ${silenceMs / 1000} s.`);
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends early when aborted, or when the browser says that the network is back. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      globalThis.removeEventListener?.("online", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
    globalThis.addEventListener?.("online", end);
  });
}
