import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../deploy/local/free-ports.ts";
import { type Platform, type PlatformOptions, startPlatform } from "../../deploy/local/platform.ts";
import type { ProcessEvent } from "../../deploy/local/supervised-process.ts";

export interface TestPlatform extends AsyncDisposable {
  readonly platform: Platform;
  /** What the supervisor said, in order. */
  readonly events: readonly ProcessEvent[];
}

/**
 * The whole platform as real processes, for tests: in a temporary folder, on free ports, without
 * Ollama. Disposing stops it and removes the folder; with `keepDataDir` the folder stays.
 */
export async function startTestPlatform(
  options: Partial<PlatformOptions> & { readonly keepDataDir?: boolean } = {},
): Promise<TestPlatform> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "mahavishnu-test-"));
  const events: ProcessEvent[] = [];
  const platform = await startPlatform({
    ...options,
    dataDir,
    ports: options.ports ?? (await freePorts()),
    onEvent: (event) => events.push(event),
    env: {
      MAHAVISHNU_EMBEDDING_PROVIDER: "builtin",
      MAHAVISHNU_SESSION_BUDDY_FILE: join(dataDir, "session-buddy", "reflection.duckdb"),
      ...options.env,
    },
  });
  return {
    platform,
    events,
    async [Symbol.asyncDispose]() {
      await platform[Symbol.asyncDispose]();
      if (options.keepDataDir !== true) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
