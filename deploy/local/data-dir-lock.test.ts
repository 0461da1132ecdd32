import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DataDirInUseError, lockDataDir } from "./data-dir-lock.ts";

describe("lockDataDir", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "lock-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it("refuses a second owner while the first lives, and names it", async () => {
    const lock = lockDataDir(dir, "platform");
    expect(() => lockDataDir(dir, "platform")).toThrow(DataDirInUseError);
    expect(() => lockDataDir(dir, "platform")).toThrow(String(process.pid));
    await lock[Symbol.asyncDispose]();
    expect(existsSync(join(dir, "platform.lock"))).toBe(false);
    await lockDataDir(dir, "platform")[Symbol.asyncDispose]();
  });

  it("takes over from an owner that was killed", async () => {
    const module = join(import.meta.dirname, "data-dir-lock.ts");
    const script = `import { lockDataDir } from ${JSON.stringify(module)}; lockDataDir(${JSON.stringify(dir)}, "platform"); process.kill(process.pid, "SIGKILL");`;
    const { signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
    expect(signal).toBe("SIGKILL");
    expect(existsSync(join(dir, "platform.lock"))).toBe(true);
    await lockDataDir(dir, "platform")[Symbol.asyncDispose]();
  });

  it("takes over where the process id belongs to another program by now", async () => {
    writeFileSync(join(dir, "platform.lock"), `${process.ppid} 1\n`);
    await lockDataDir(dir, "platform")[Symbol.asyncDispose]();
  });

  it("has one winner among several that find the same stale lock", async () => {
    writeFileSync(join(dir, "platform.lock"), `${process.ppid} 1\n`);
    const module = join(import.meta.dirname, "data-dir-lock.ts");
    const script = `import { lockDataDir } from ${JSON.stringify(module)}; try { lockDataDir(${JSON.stringify(dir)}, "platform"); console.log("won"); setTimeout(() => {}, 60_000); } catch { console.log("lost"); }`;
    const rivals = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ["--input-type=module", "-e", script]),
    );
    const words = await Promise.all(
      rivals.map(async (rival) => String((await once(rival.stdout, "data"))[0]).trim()),
    );
    for (const rival of rivals) rival.kill("SIGKILL");
    expect(words.filter((word) => word === "won")).toHaveLength(1);
  });

  it("takes over a lock that holds nonsense", async () => {
    writeFileSync(join(dir, "platform.lock"), "");
    await lockDataDir(dir, "platform")[Symbol.asyncDispose]();
  });
});
