import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { describeEvent, sessionBuddyHint } from "./messages.ts";

describe("describeEvent", () => {
  it("says who died, of what, and when it comes back", () => {
    const event = {
      kind: "restarting",
      name: "memory",
      reason: "signal SIGKILL",
      inMs: 250,
    } as const;
    expect(describeEvent(event)).toBe("memory died (signal SIGKILL); starting it again in 0.25 s");
  });

  it("says who stopped for good and why", () => {
    const event = {
      kind: "gave-up",
      name: "memory",
      reason: "its configuration is wrong",
    } as const;
    expect(describeEvent(event)).toBe("memory stopped for good: its configuration is wrong");
  });
});

describe("sessionBuddyHint", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "home-"));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  it("is silent where Session-Buddy has no file", () => {
    expect(sessionBuddyHint(home, {})).toBeUndefined();
  });

  it("says that the file is there and how to use it, unless one is configured", () => {
    const file = join(home, ".claude", "data", "reflection.duckdb");
    mkdirSync(join(home, ".claude", "data"), { recursive: true });
    writeFileSync(file, "");
    expect(sessionBuddyHint(home, {})).toContain(`MAHAVISHNU_SESSION_BUDDY_FILE=${file} npm start`);
    expect(sessionBuddyHint(home, { MAHAVISHNU_SESSION_BUDDY_FILE: "/a.duckdb" })).toBeUndefined();
  });
});
