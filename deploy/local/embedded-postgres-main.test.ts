import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { embeddedPostgresUrl } from "../../shared/postgres/config.ts";

let dataDir: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "mahavishnu-embedded-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) await end(child, "SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

/** The process, and what it logged: one object a line. */
function start() {
  const child = spawn(process.execPath, [join(import.meta.dirname, "embedded-postgres-main.ts")], {
    env: { ...process.env, MAHAVISHNU_DATA_DIR: dataDir, MAHAVISHNU_EMBEDDED_PG_PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines: { msg: string; level: string; address?: string }[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const logged = JSON.parse(line);
    lines.push(logged);
    if (logged.msg === "listening") resolve(embeddedPostgresUrl(logged.address.split(":")[1]));
  });
  return { child, lines, ready };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, "exit");
  child.kill(signal);
  return (await exited)[0];
}

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  return client;
}

test("loses no acknowledged row to SIGKILL, and takes over what the dead process locked", async () => {
  let acknowledged = 0;
  for (let round = 0; round < 2; round++) {
    const { child, ready } = start();
    const url = await ready;
    const setup = await connected(url);
    await setup.query("create table if not exists rows (n integer, filling text)");
    await setup.end();
    const writers = await Promise.all([connected(url), connected(url), connected(url)]);
    const killed = once(child, "exit");
    const writing = writers.map(async (writer) => {
      for (let n = 0; n < 100_000; n++) {
        try {
          await writer.query("insert into rows values ($1, repeat('x', 500))", [n]);
        } catch {
          return;
        }
        acknowledged += 1;
      }
    });
    const enough = acknowledged + 150;
    await expect.poll(() => acknowledged, { timeout: 20_000 }).toBeGreaterThan(enough);
    child.kill("SIGKILL");
    await killed;
    await Promise.all(writing);
  }
  const { child, ready } = start();
  const client = await connected(await ready);
  const { rows } = await client.query("select count(*)::int as n from rows");
  await client.end();
  // Each writer's last row may have been written without its answer having arrived.
  expect(rows[0].n).toBeGreaterThanOrEqual(acknowledged);
  expect(rows[0].n).toBeLessThanOrEqual(acknowledged + 6);
  expect(await end(child, "SIGTERM")).toBe(0);
}, 90_000);

test("refuses a data dir that another process uses, in one line", async () => {
  const first = start();
  await first.ready;
  const second = start();
  const [code] = await once(second.child, "exit");
  expect(code).toBe(1);
  expect(second.lines).toHaveLength(1);
  expect(second.lines[0]).toMatchObject({
    level: "fatal",
    msg: `${dataDir} is in use by process ${first.child.pid}`,
  });
}, 60_000);

test("stops on SIGTERM with clients connected, one of them in a transaction", async () => {
  const { child, lines, ready } = start();
  const client = await connected(await ready);
  await client.query("create table rows (n integer)");
  await client.query("begin");
  await client.query("insert into rows values (1)");
  expect(await end(child, "SIGTERM")).toBe(0);
  expect(lines.map((line) => line.msg)).toEqual(["listening", "stopping", "stopped"]);
  expect(readdirSync(dataDir)).toEqual(["postgres"]);
  const again = start();
  const later = await connected(await again.ready);
  expect((await later.query("select count(*)::int as n from rows")).rows).toEqual([{ n: 0 }]);
  await later.end();
}, 60_000);

test("names a wrong setting and exits", async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, "embedded-postgres-main.ts")], {
    env: { ...process.env, MAHAVISHNU_DATA_DIR: dataDir, MAHAVISHNU_EMBEDDED_PG_PORT: "many" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  const [[line], [code]] = await Promise.all([
    once(createInterface({ input: child.stderr }), "line"),
    once(child, "exit"),
  ]);
  expect(line).toContain("MAHAVISHNU_EMBEDDED_PG_PORT");
  expect(code).toBe(78);
});
