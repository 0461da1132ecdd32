import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { embeddedPostgres, freePorts, takenPorts } from "../../deploy/local/free-ports.ts";
import { addressEnvironment, type Ports, serviceEntries } from "../../deploy/local/services.ts";

const main = resolve(import.meta.dirname, "../../deploy/local/main.ts");
const cli = resolve(import.meta.dirname, "../../cli/main.ts");
let dataDir: string;
let ports: Ports;

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "mahavishnu-start-"));
  ports = await freePorts();
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const environment = () => ({
  ...process.env,
  MAHAVISHNU_DATA_DIR: dataDir,
  MAHAVISHNU_EMBEDDING_PROVIDER: "builtin",
  MAHAVISHNU_EMBEDDED_PG_PORT: String(ports[embeddedPostgres]),
  ...Object.fromEntries(
    serviceEntries.map(({ name, key }) => [`MAHAVISHNU_${key}_PORT`, String(ports[name])]),
  ),
});

const addresses = () => addressEnvironment(ports, "127.0.0.1");

/** Starts as a person does; resolves when the text appears on standard output. */
async function startUntil(text: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [main], { env: { ...environment(), ...env } });
  let output = "";
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  const seen = new Promise<void>((resolveSeen, reject) => {
    child.stdout.on("data", (chunk) => {
      output += chunk;
      if (output.includes(text)) resolveSeen();
    });
    child.once("exit", (code) => reject(new Error(`ended with ${code}: ${output}`)));
  });
  await seen;
  return { child, output: () => output };
}

describe("npm start", () => {
  it("comes up, prints its table, refuses a second start, stops in order and leaves nothing", async () => {
    const { child, output } = await startUntil("Try, in another terminal");
    for (const { name } of serviceEntries) {
      expect(output()).toMatch(new RegExp(`${name} +127\\.0\\.0\\.1:${ports[name]} +SERVING`));
    }
    expect(output()).toContain("lexical");

    const second = spawnSync(process.execPath, [main], {
      env: { ...environment(), ...portsOf(await freePorts()) },
      encoding: "utf8",
    });
    expect(second.status).toBe(1);
    expect(second.stderr.trim().split("\n")).toHaveLength(1);
    expect(second.stderr).toContain("is in use by process");

    const gone = once(child, "exit");
    child.kill("SIGINT");
    // A terminal and npm both pass the signal on.
    child.kill("SIGINT");
    expect(await gone).toEqual([0, null]);
    expect(output()).toContain("Stopped.");
    expect(await takenPorts(ports, "127.0.0.1")).toEqual([]);

    const again = await startUntil("Try, in another terminal");
    const goneAgain = once(again.child, "exit");
    again.child.kill("SIGTERM");
    expect(await goneAgain).toEqual([0, null]);
  }, 120_000);

  it("takes its processes with it when it is killed", async () => {
    const { child } = await startUntil("Try, in another terminal");
    child.kill("SIGKILL");
    const deadline = Date.now() + 30_000;
    while ((await takenPorts(ports, "127.0.0.1")).length > 0 && Date.now() < deadline) {
      await new Promise((resolveSoon) => setTimeout(resolveSoon, 200));
    }
    expect(await takenPorts(ports, "127.0.0.1")).toEqual([]);
  }, 120_000);

  it("works with a token: its own table and the command line have it, others are refused", async () => {
    const { child } = await startUntil("Try, in another terminal", { MAHAVISHNU_AUTH_TOKEN: "t" });
    const search = (more: NodeJS.ProcessEnv) =>
      spawnSync(process.execPath, [cli, "search", "anything"], {
        env: { ...environment(), ...addresses(), ...more },
        encoding: "utf8",
      });
    expect(search({ MAHAVISHNU_AUTH_TOKEN: "t" })).toMatchObject({ status: 0, stderr: "" });
    expect(search({}).stderr).toContain("unauthenticated");
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    expect(await gone).toEqual([0, null]);
  }, 120_000);

  it("says in one line that a configured PostgreSQL does not answer", async () => {
    const { status, stderr } = spawnSync(process.execPath, [main], {
      env: { ...environment(), MAHAVISHNU_PG_URL: "postgres://me@127.0.0.1:1/db" },
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain("PostgreSQL at 127.0.0.1:1 cannot be used");
  }, 60_000);

  it("names a taken port in one line", async () => {
    const squatter = createServer().listen(ports["memory"], "127.0.0.1");
    await once(squatter, "listening");
    const { status, stderr } = spawnSync(process.execPath, [main], {
      env: environment(),
      encoding: "utf8",
    });
    squatter.close();
    expect(status).toBe(1);
    expect(stderr.trim()).toBe(
      `port ${ports["memory"]} (memory) is taken: stop what listens there, or set MAHAVISHNU_MEMORY_PORT to another port`,
    );
  });

  it("names every wrong setting at once", () => {
    const { status, stderr } = spawnSync(process.execPath, [main], {
      env: { ...environment(), MAHAVISHNU_PG_PORT: "many", MAHAVISHNU_PG_POOL_SIZE: "-1" },
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toContain("MAHAVISHNU_PG_PORT");
    expect(stderr).toContain("MAHAVISHNU_PG_POOL_SIZE");
  });
});

function portsOf(free: Ports): Record<string, string> {
  return {
    MAHAVISHNU_EMBEDDED_PG_PORT: String(free[embeddedPostgres]),
    ...Object.fromEntries(
      serviceEntries.map(({ name, key }) => [`MAHAVISHNU_${key}_PORT`, String(free[name])]),
    ),
  };
}
