/** The page in a real browser over a real control plane: what a person sees, without reloading. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { ControlPlane } from "./control_plane.mjs";
import { startPostgres } from "./postgres.mjs";

const CLUSTER = {
  name: "shop",
  users: [{ name: "app", password: "secret" }],
  shards: [{ instances: [{ host: "127.0.0.1", port: 5999, database: "shop", role: "primary" }] }],
};

let postgres;
let control;
let browser;
let page;
const complaints = [];

before(async () => {
  postgres = await startPostgres();
  control = new ControlPlane(postgres.url);
  await control.start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) complaints.push(message.text());
  });
}, { timeout: 60_000 });

after(async () => {
  await browser?.close();
  await control?.remove();
  await postgres?.stop();
});

const see = (text) => page.getByText(text).first().waitFor();

async function signIn(token) {
  await page.fill("#token", token);
  await page.click("button[type=submit]");
}

test("a wrong token is refused in words", async () => {
  await page.goto(control.url);
  await signIn("pgherd_wrong");
  await see("The control plane does not accept this token");
});

test("an empty fleet tells what to do first", async () => {
  await signIn(control.tokens.admin);
  await see("No clusters yet");
  await see("No proxy has connected yet");
  await see(`curl ${control.url}/api/v1/clusters`);
});

test("a cluster that is made over REST appears by itself", async () => {
  await control.request("POST", "/clusters?reason=first+shop", CLUSTER);
  await page.getByRole("link", { name: "shop" }).waitFor({ timeout: 3_000 });
  await page.click("nav >> text=Clusters");
  await see("127.0.0.1:5999");
});

test("an instance is banned by hand and the ban lifted again", async () => {
  await page.getByRole("button", { name: "Ban 127.0.0.1:5999" }).click();
  await page.fill("#ban-reason", "new disk");
  await page.getByRole("button", { name: "15 min" }).click();
  await page.locator("dialog button[type=submit]").click();
  await page.getByRole("link", { name: "banned by hand" }).click();
  await page.getByRole("row", { name: /127\.0\.0\.1:5999.*new disk.*14 min/ }).waitFor();
  const { bans } = await control.request("GET", "/bans");
  assert.deepEqual([bans.length, bans[0].author, bans[0].source], [1, "admin", "manual"]);
  await page.getByRole("button", { name: "Lift" }).click();
  await see("Nothing is banned");
  await page.getByRole("button", { name: "Ban an instance" }).click();
  await page.selectOption("#ban-instance", { label: "127.0.0.1:5999" });
  await page.fill("#ban-reason", "   ");
  await page.locator("dialog button[type=submit]").click();
  await see("a reason has 1 to 1000 bytes");
  await page.getByRole("button", { name: "Cancel" }).click();
});

test("a ban that is ordered over REST appears by itself", async () => {
  const ban = await control.request("POST", "/bans", { host: "127.0.0.1", reason: "from elsewhere" });
  await page.getByRole("row", { name: /from elsewhere.*until lifted/ }).waitFor({ timeout: 3_000 });
  await control.request("DELETE", `/bans/${ban.id}`);
  await page.getByText("from elsewhere").waitFor({ state: "detached", timeout: 3_000 });
});

test("a revision shows its author, its reason and its difference", async () => {
  await page.click("nav >> text=Revisions");
  await page.getByRole("row", { name: /shop.*first shop/ }).getByRole("link").click();
  await page.locator(".diff .added", { hasText: '"name": "shop"' }).waitFor();
  assert.equal(await page.locator(".diff", { hasText: "secret" }).count(), 0);
});

test("a rollback takes a cluster away again", async () => {
  const made = await control.request("POST", "/clusters", { ...CLUSTER, name: "blog" });
  await page.goto(`${control.url}/#/revisions/${made.revision - 1}`);
  await page.click("text=What a rollback would change");
  await page.locator(".diff .removed", { hasText: '"name": "blog"' }).waitFor();
  await page.getByRole("button", { name: /^Roll back/ }).click();
  await page.fill("#reason", "not yet");
  await page.locator("dialog button[type=submit]").click();
  await see("“not yet”");
  await page.click("nav >> text=Fleet");
  await page.getByRole("link", { name: "shop" }).waitFor();
  await page.getByRole("link", { name: "blog" }).waitFor({ state: "detached" });
});

test("a lost control plane is told of, and found again", async () => {
  await control.kill();
  await see("Connection lost, reconnecting.");
  await page.locator("main.stale").waitFor();
  await control.start();
  await page.getByText("Connection lost, reconnecting.").waitFor({ state: "detached", timeout: 30_000 });
  await page.getByText("Live", { exact: true }).waitFor();
});

test("the token survives a reload, and a revoked one signs out", async () => {
  const made = await control.request("POST", "/tokens", { name: "screen", role: "viewer" });
  await page.click("text=Sign out");
  await signIn(made.token);
  await see("screen (viewer)");
  await page.reload();
  await see("screen (viewer)");
  await page.click("nav >> text=Revisions");
  await page.getByRole("table").waitFor();
  await page.locator("tbody a").last().click();
  await page.locator(".diff, .pad").first().waitFor();
  assert.equal(await page.getByRole("button", { name: /^Roll back/ }).count(), 0);
  await control.request("DELETE", `/tokens/${made.id}`);
  await page.getByText(/revoked|Sign in again/).first().waitFor({ timeout: 20_000 });
  await page.locator("#token").waitFor();
});

test("the page never failed and never broke its content security policy", () => {
  assert.deepEqual(complaints, []);
});
