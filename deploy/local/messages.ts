import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { createClient } from "@connectrpc/connect";
import { renderTable } from "../../cli/table.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { embeddedPostgres } from "./free-ports.ts";
import type { Platform } from "./platform.ts";
import { serviceEntries } from "./services.ts";
import type { ProcessEvent } from "./supervised-process.ts";

/** One line for people about a process that died. */
export function describeEvent(event: ProcessEvent): string {
  if (event.kind === "gave-up") return `${event.name} stopped for good: ${event.reason}`;
  return `${event.name} died (${event.reason}); starting it again in ${event.inMs / 1000} s`;
}

/** Every service with its address, its status, what it stores into and what it embeds with. */
export async function statusTable(platform: Platform): Promise<string> {
  // What only describes must not fail a start.
  const [embedder, file] = await Promise.all([
    describeEmbedder(platform).catch(() => "unknown"),
    duckDbFile(platform).catch(() => ""),
  ]);
  const postgres = describePostgres(platform);
  const stores: Record<string, string> = {
    memory: postgres,
    ingestion: postgres,
    "vector-store": postgres,
    "session-buddy": `DuckDB ${file}`,
    health: postgres,
  };
  const embedders: Record<string, string> = {
    embedding: embedder,
    memory: "by embedding",
    ingestion: "by embedding",
    "session-buddy": "by embedding",
  };
  const rows = await Promise.all(
    serviceEntries.map(async ({ name }) => [
      name,
      platform.address(name),
      await platform.serving(name),
      stores[name] ?? "",
      embedders[name] ?? "",
    ]),
  );
  return renderTable(["service", "address", "status", "store", "embedder"], rows);
}

/**
 * Says that Session-Buddy's own file is there and how to use it; undefined where it is not there
 * or is configured already. The file itself is not opened.
 */
export function sessionBuddyHint(
  home: string,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const file = join(home, ".claude", "data", "reflection.duckdb");
  if (env["MAHAVISHNU_SESSION_BUDDY_FILE"] !== undefined || !existsSync(file)) return undefined;
  return `Session-Buddy's own memory is at ${file} and is left alone. To use it:\n  MAHAVISHNU_SESSION_BUDDY_FILE=${file} npm start`;
}

async function describeEmbedder(platform: Platform): Promise<string> {
  const transport = platform.connect("embedding");
  try {
    const { models } = await createClient(EmbeddingService, transport).listModels(
      {},
      { timeoutMs: 2_000 },
    );
    const model = models.find((one) => one.isDefault);
    if (model === undefined) return "none";
    return `${model.name} (${model.lexical ? "lexical" : model.provider})`;
  } finally {
    transport.close();
  }
}

async function duckDbFile(platform: Platform): Promise<string> {
  const transport = platform.connect("session-buddy");
  try {
    const client = createClient(SessionBuddyService, transport);
    const { file } = await client.getStatus({}, { timeoutMs: 2_000 });
    const short = relative(process.cwd(), file);
    return short.startsWith("..") ? file : short;
  } finally {
    transport.close();
  }
}

function describePostgres(platform: Platform): string {
  if (platform.processNames.includes(embeddedPostgres)) return "PostgreSQL (embedded)";
  const url = new URL(platform.postgresUrl);
  return `PostgreSQL ${url.host}${url.pathname}`;
}
