import { describe, expect, it } from "vitest";
import { localSettings } from "../../deploy/local/config.ts";
import { embeddingSettings } from "../../services/embedding/config.ts";
import { healthSettings } from "../../services/health/config.ts";
import { ingestionSettings } from "../../services/ingestion/config.ts";
import { memorySettings } from "../../services/memory/config.ts";
import { sessionBuddySettings } from "../../services/session-buddy/config.ts";
import { vectorStoreSettings } from "../../services/vector-store/config.ts";
import type { Setting, Settings } from "../../shared/config.ts";

const processes: Readonly<Record<string, Settings>> = {
  "npm start": localSettings,
  memory: memorySettings,
  ingestion: ingestionSettings,
  "vector-store": vectorStoreSettings,
  embedding: embeddingSettings,
  "session-buddy": sessionBuddySettings,
  health: healthSettings,
};

/** Every variable that more than one process reads, with how each of them reads it. */
function sharedVariables(): Map<string, { process: string; setting: Setting }[]> {
  const readings = new Map<string, { process: string; setting: Setting }[]>();
  for (const [process, settings] of Object.entries(processes)) {
    for (const one of Object.values(settings)) {
      const known = readings.get(one.env) ?? [];
      readings.set(one.env, [...known, { process, setting: one }]);
    }
  }
  return new Map([...readings].filter(([, several]) => several.length > 1));
}

function readAs({ yaml, schema }: Setting) {
  const parsed = schema.safeParse(undefined);
  return { yaml, default: parsed.success ? parsed.data : "required" };
}

describe("a variable that several processes read", () => {
  const shared = [...sharedVariables()];

  it.each(shared)("%s stands at one place of the file and has one default", (_, readings) => {
    const [first, ...others] = readings.map(({ process, setting }) => ({
      process,
      ...readAs(setting),
    }));
    for (const other of others) expect(other).toEqual({ ...first, process: other.process });
  });

  it("is found at all", () => {
    expect(shared.map(([name]) => name)).toEqual(
      expect.arrayContaining(["MAHAVISHNU_EMBEDDING_PROVIDER", "MAHAVISHNU_EMBEDDING_ADDRESS"]),
    );
  });
});
