import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ProcessEvent, SupervisedProcess } from "./supervised-process.ts";

describe("SupervisedProcess", () => {
  let dir: string;
  let running: SupervisedProcess | undefined;
  const events: ProcessEvent[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "supervised-"));
    events.length = 0;
  });
  afterEach(async () => {
    await running?.stop(2_000);
    rmSync(dir, { recursive: true });
  });

  function run(script: string): SupervisedProcess {
    const main = join(dir, "main.mjs");
    writeFileSync(main, script);
    running = new SupervisedProcess({
      name: "sample",
      main,
      cwd: dir,
      env: process.env,
      logPath: join(dir, "sample.log"),
      onEvent: (event) => events.push(event),
    });
    running.start();
    return running;
  }

  const log = () => readFileSync(join(dir, "sample.log"), "utf8");
  const stays = "setInterval(() => {}, 1000); console.log('up');";

  it("starts a killed process again and says so", async () => {
    const child = run(stays);
    await vi.waitFor(() => expect(log()).toBe("up\n"), 10_000);
    const first = child.pid;
    child.kill("SIGKILL");
    await vi.waitFor(() => expect(log()).toBe("up\nup\n"), 10_000);
    expect(child.pid).not.toBe(first);
    expect(events).toEqual([
      { kind: "restarting", name: "sample", reason: "signal SIGKILL", inMs: 250 },
    ]);
    expect(child.failures).toBe(1);
  });

  it("waits longer after each failure", async () => {
    run("console.log('no'); process.exit(1)");
    await vi.waitFor(() => expect(events.length).toBeGreaterThanOrEqual(3), 10_000);
    expect(events.slice(0, 3)).toMatchObject([{ inMs: 250 }, { inMs: 500 }, { inMs: 1000 }]);
    expect(running?.lastLogLines(1)).toEqual(["no"]);
  });

  it("does not start a process again whose configuration is wrong", async () => {
    run("process.exit(78)");
    await vi.waitFor(() => expect(events).toHaveLength(1), 10_000);
    expect(events[0]).toMatchObject({ kind: "gave-up", name: "sample" });
  });

  it("moves a log aside that has grown too large", async () => {
    writeFileSync(join(dir, "sample.log"), "x".repeat(11 * 1024 * 1024));
    run(stays);
    await vi.waitFor(() => expect(log()).toBe("up\n"), 10_000);
    expect(readFileSync(join(dir, "sample.log.1"), "utf8")).toMatch(/^x+$/);
  });

  it("stops with SIGTERM, and with SIGKILL what does not listen", async () => {
    const polite = run(
      `process.on('SIGTERM', () => { console.log('bye'); process.exit(0); }); ${stays}`,
    );
    await vi.waitFor(() => expect(log()).toContain("up"), 10_000);
    await polite.stop(5_000);
    expect(log()).toContain("bye");
    const deaf = run(`process.on('SIGTERM', () => {}); ${stays} console.log('deaf');`);
    await vi.waitFor(() => expect(log()).toContain("deaf"), 10_000);
    await deaf.stop(100);
    expect(events).toEqual([]);
  });
});
