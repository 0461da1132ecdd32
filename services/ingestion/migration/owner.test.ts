import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { isOrphan, thisProcess } from "./owner.ts";

describe("isOrphan", () => {
  const own = thisProcess();
  const running = (owner: Partial<typeof own>, silentMs = 0) => ({
    tenant: "t",
    id: "i",
    silentMs,
    owner: { ...own, life: "another", ...owner },
  });
  /** A process id that was alive a moment ago. */
  const deadPid = spawnSync(process.execPath, ["--version"]).pid;

  it.each([
    ["its own, however silent", running({ life: own.life }, 1e9), false],
    ["an earlier life of the same process id", running({}), true],
    ["a live process of this host", running({ pid: process.ppid }), false],
    ["a dead process of this host", running({ pid: deadPid }), true],
    ["another host's that beats", running({ host: "elsewhere", pid: deadPid }), false],
    ["another host's that is silent", running({ host: "elsewhere" }, 31_000), true],
  ])("%s", (_, ingestion, orphan) => {
    expect(isOrphan(ingestion, own, () => true)).toBe(orphan);
  });

  it("one of its own that it has given up", () => {
    expect(isOrphan(running({ life: own.life }), own, () => false)).toBe(true);
  });
});
