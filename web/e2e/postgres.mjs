/** A Postgres server of one's own in a scratch directory, on a free port, removed at the end. */
import { execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";

/** Where Debian keeps the programs of the newest version that is installed. */
function programs() {
  if (process.env.PG_BIN) return process.env.PG_BIN;
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).filter((name) => existsSync(join(root, name, "bin/initdb"))) : [];
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) throw new Error("no Postgres server is installed (apt-get install postgresql), and PG_BIN is not set");
  return join(root, newest, "bin");
}

/** Postgres refuses to run as root; there, Debian's user `postgres` does it. */
function user() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts the server; gives back its URL and how to stop it. */
export async function startPostgres() {
  const bin = programs();
  const owner = user();
  const directory = mkdtempSync(join(tmpdir(), "pgherd-e2e-pg-"));
  if (owner.uid !== undefined) chownSync(directory, owner.uid, owner.gid);
  const data = join(directory, "data");
  const options = { ...owner, cwd: directory, stdio: "ignore" };
  execFileSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"], options);
  const port = await freePort();
  const server = spawn(
    join(bin, "postgres"),
    ["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-k", directory, "-c", "fsync=off"],
    options,
  );
  const exited = once(server, "exit");
  const stop = async () => {
    server.kill("SIGINT");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries++) {
    try {
      execFileSync(join(bin, "pg_isready"), ["-h", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
      return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, stop };
    } catch {
      if (tries === 100 || server.exitCode !== null) {
        await stop();
        throw new Error("Postgres did not start");
      }
      await pause(100);
    }
  }
}
