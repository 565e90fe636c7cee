/** Requests to the REST API, signed with the token of the person at the page. */
import { asProblem, Problem, problemOf } from "./problem";

/** How long a request may take before it counts as failed. */
const TIMEOUT_MS = 15_000;

export class Client {
  /** How far this machine's clock is behind the server's, in milliseconds, to about a second. */
  clockOffset = 0;

  constructor(
    private readonly token: string,
    /** Relative to the page, so that the page works below any path. */
    private readonly base = "api/v1",
  ) {}

  /** Reads a resource. Throws a `Problem`. */
  async read<T>(path: string, signal?: AbortSignal): Promise<T> {
    const response = await this.send("GET", path, signal === undefined ? {} : { signal });
    return (await response.json()) as T;
  }

  /** Carries out an action; `reason` is kept with the revision it makes. Throws a `Problem`. */
  async act<T>(path: string, reason: string): Promise<T | null> {
    const query = reason.trim() === "" ? "" : `?reason=${encodeURIComponent(reason.trim())}`;
    const response = await this.send("POST", path + query, {});
    const body = await response.text();
    return body === "" ? null : (JSON.parse(body) as T);
  }

  /** Makes a resource. Throws a `Problem`. */
  async make(path: string, document: unknown): Promise<void> {
    await this.send("POST", path, { body: JSON.stringify(document) });
  }

  /** Deletes a resource. Throws a `Problem`. */
  async remove(path: string): Promise<void> {
    await this.send("DELETE", path, {});
  }

  /** Opens the event stream; it stays open until `signal` ends it. Throws a `Problem`. */
  async events(signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const response = await this.send("GET", "/events", { signal, stream: true });
    if (response.body === null) throw new Problem(0, "The event stream is empty", "");
    return response.body;
  }

  private async send(
    method: string,
    path: string,
    options: { signal?: AbortSignal; stream?: boolean; body?: string },
  ): Promise<Response> {
    const headers: Record<string, string> = {
      authorization: `Bearer ${this.token}`,
      accept: options.stream ? "text/event-stream" : "application/json",
    };
    if (options.body !== undefined) headers["content-type"] = "application/json";
    const signal =
      options.signal === undefined || !options.stream
        ? AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(options.signal ? [options.signal] : [])])
        : options.signal;
    let response: Response;
    try {
      response = await fetch(this.base + path, {
        method, headers, signal, cache: "no-store",
        ...(options.body === undefined ? {} : { body: options.body }),
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === "TimeoutError") {
        throw new Problem(0, "No answer from the control plane", `It did not answer within ${TIMEOUT_MS / 1000} s.`);
      }
      throw asProblem(error);
    }
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) this.clockOffset = date - Date.now();
    if (!response.ok) {
      const type = response.headers.get("content-type") ?? "";
      throw problemOf(response.status, type, await response.text().catch(() => ""));
    }
    return response;
  }
}
