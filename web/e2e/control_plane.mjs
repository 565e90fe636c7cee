/** The real control plane over a database of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const binary = process.env.PGHERD_CONTROL_BIN ?? resolve(import.meta.dirname, "../../target/debug/pgherd-control");

/** Keeps keys and tokens over restarts, in a directory that `remove` deletes. */
export class ControlPlane {
  constructor(databaseUrl) {
    this.databaseUrl = databaseUrl;
    this.directory = mkdtempSync(join(tmpdir(), "pgherd-e2e-control-"));
    this.port = 0;
  }

  /** Starts it, at the port that it had before if it ran already. */
  async start() {
    const file = (name) => join(this.directory, name);
    this.process = spawn(
      binary,
      [
        "--listen", `127.0.0.1:${this.port}`, "--database-url", this.databaseUrl,
        "--secret-key-file", file("key"), "--create-key", "--bootstrap-token-file", file("tokens.json"),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let log = "";
    this.process.stderr.on("data", (bytes) => (log = (log + bytes).slice(-4_000)));
    this.exited = once(this.process, "exit");
    const listening = (async () => {
      for await (const line of createInterface({ input: this.process.stdout })) {
        const found = /listening on (http:\/\/\S+:(\d+))/.exec(line);
        if (found) return found;
      }
      throw new Error(`the control plane ended before it listened:\n${log}`);
    })();
    const [, url, port] = await withDeadline(listening, 30_000, () => `the control plane did not listen:\n${log}`);
    this.process.stdout.resume();
    this.url = url;
    this.port = Number(port);
    this.tokens = JSON.parse(readFileSync(file("tokens.json"), "utf8"));
  }

  /** As a crash: nothing is said to anybody. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  async remove() {
    if (this.process?.exitCode === null && this.process.signalCode === null) await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A request as an admin; fails unless it succeeds. */
  async request(method, path, body, headers = {}) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.tokens.admin}`, "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }
}

function withDeadline(promise, milliseconds, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(message())), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
