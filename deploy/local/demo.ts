import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createClient } from "@connectrpc/connect";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { type SearchResult, Source } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { stopSignal } from "../../shared/lifecycle.ts";
import { freePorts } from "./free-ports.ts";
import { describeEvent, statusTable } from "./messages.ts";
import { type Platform, startPlatform } from "./platform.ts";
import { addressEnvironment } from "./services.ts";

const root = resolve(import.meta.dirname, "../..");
const question = "how should vectors be sent to PostgreSQL?";
const turn = `We measured three ways to send vectors to PostgreSQL: as text, by COPY, and as one binary array.

★ Insight ─────
Send vectors to PostgreSQL as one binary array parameter and unnest it: seven times faster than text.
─────

I will use unnest of binary arrays for all bulk writes.`;

const dataDir = mkdtempSync(join(tmpdir(), "mahavishnu-demo-"));
const stop = new AbortController();
stopSignal().then((signal) => stop.abort(new Error(`stopped by ${signal}`)));

let missing: string[] = ["everything"];
try {
  heading("A throwaway platform: embedded PostgreSQL and six services");
  await using platform = await startPlatform({
    dataDir,
    ports: await freePorts(),
    // The demo touches no file of the user's, whatever the environment says.
    env: { MAHAVISHNU_SESSION_BUDDY_FILE: join(dataDir, "session-buddy", "reflection.duckdb") },
    authToken: process.env["MAHAVISHNU_AUTH_TOKEN"],
    signal: stop.signal,
    onEvent: (event) => console.log(describeEvent(event)),
  });
  console.log(await statusTable(platform));

  heading("This repository's own files are ingested");
  await cli(platform, "ingest", root, "--repo", "mahavishnu-memory");

  heading("An agent says something, with an insight in it");
  console.log(turn);
  await storeTurn(platform);

  heading(`One question over both stores: ${question}`);
  await cli(platform, "search", question, "--limit", "12");
  missing = await whatIsMissing(platform);

  heading("Health");
  await cli(platform, "health");
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
} finally {
  rmSync(dataDir, { recursive: true, force: true });
}
if (missing.length > 0) {
  console.error(`\nThe demo failed: it did not find ${missing.join(", ")}.`);
  process.exit(1);
}
console.log(
  "\nFound in one list: the turn, a passage of this repository, and the insight from Session-Buddy.",
);
process.exit(0);

function heading(text: string): void {
  console.log(`\n── ${text}\n`);
}

/** Runs the command line against the platform, its output on ours. */
async function cli(platform: Platform, ...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [join(root, "cli/main.ts"), ...args], {
    stdio: "inherit",
    env: { ...process.env, ...addressEnvironment(platform.ports, platform.host) },
    signal: stop.signal,
  });
  const [code] = await once(child, "exit");
  // Exit code 3: a component is degraded or worse, which the table shows.
  if (code !== 0 && code !== 3) throw new Error(`mahavishnu ${args[0]} ended with ${code}`);
}

async function storeTurn(platform: Platform): Promise<void> {
  const { insights } = await withMemory(platform, (memory) =>
    memory.storeConversationTurn(
      { agentId: "demo-agent", sessionId: "demo-session", role: Role.ASSISTANT, content: turn },
      { timeoutMs: 30_000 },
    ),
  );
  for (const one of insights) console.log(`\nInsight found (${one.insightType}): ${one.content}`);
}

/** Of the three kinds of result that belong into the answer, those that are not there. */
async function whatIsMissing(platform: Platform): Promise<string[]> {
  const { results } = await withMemory(platform, (memory) =>
    memory.unifiedSearch({ query: question, limit: 12 }, { timeoutMs: 10_000 }),
  );
  const wanted: [string, (one: SearchResult) => boolean][] = [
    ["the stored turn", (one) => one.memoryType === MemoryType.AGENT && one.content === turn],
    ["a passage of this repository", (one) => one.memoryType === MemoryType.RAG],
    [
      "the insight from Session-Buddy",
      (one) => one.foundIn.includes(Source.SESSION_BUDDY) && one.content.includes("seven times"),
    ],
  ];
  return wanted.filter(([, matches]) => !results.some(matches)).map(([what]) => what);
}

async function withMemory<T>(
  platform: Platform,
  use: (memory: ReturnType<typeof createClient<typeof MemoryService>>) => Promise<T>,
): Promise<T> {
  const transport = platform.connect("memory");
  try {
    return await use(createClient(MemoryService, transport));
  } finally {
    transport.close();
  }
}
