import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { silentLogger } from "../../../shared/logging.ts";
import type { App } from "../../../shared/process.ts";
import { createApp, type SessionBuddyOverrides } from "../app.ts";
import { readSessionBuddyConfig } from "../config.ts";
import { DuckDb, type Row } from "../duckdb.ts";

/** Both variants of the newest layout's table of reflections, as Session-Buddy makes them. */
export type Variant = "adapter" | "migration";

const conversations = `create table conversations_v2 (
  id varchar primary key, content varchar not null, embedding float[384],
  category varchar not null, subcategory varchar, importance_score float default 0.5,
  memory_tier varchar default 'long_term', access_count integer default 0,
  last_accessed timestamp, project varchar, namespace varchar default 'default',
  timestamp timestamp default current_timestamp, session_id varchar,
  user_id varchar default 'default', searchable_content varchar, reasoning varchar,
  metadata varchar, source_type varchar, turn_parent_id varchar, causal_parent_id varchar,
  fingerprint blob);`;

const reflections: Readonly<Record<Variant, string>> = {
  adapter: `create table reflections_v2 (
    id varchar primary key, conversation_id varchar references conversations_v2 (id),
    content varchar not null, embedding float[384], category varchar not null default 'context',
    subcategory varchar, importance_score float default 0.5,
    memory_tier varchar default 'long_term', tags varchar[], related_entities varchar[],
    namespace varchar default 'default', project varchar, access_count integer default 0,
    last_accessed timestamp, timestamp timestamp default current_timestamp,
    created_at timestamp default current_timestamp, updated_at timestamp default current_timestamp,
    metadata json, insight_type varchar default 'general', usage_count integer default 0,
    last_used_at timestamp, confidence_score float default 0.5, fingerprint blob);`,
  migration: `create table reflections_v2 (
    id varchar primary key, content varchar not null, embedding float[384],
    category varchar not null, subcategory varchar, importance_score float default 0.5,
    memory_tier varchar default 'long_term', tags varchar[], related_entities varchar[],
    namespace varchar default 'default', project varchar, access_count integer default 0,
    last_accessed timestamp, timestamp timestamp default current_timestamp,
    created_at timestamp default current_timestamp, updated_at timestamp default current_timestamp,
    metadata json, insight_type varchar, usage_count integer default 0,
    last_used_at timestamp, confidence_score float default 0.5, fingerprint blob);`,
};

const queryCache = `create table query_cache_l2 (
  cache_key varchar primary key, normalized_query varchar not null, project varchar,
  result_ids varchar[], hit_count integer default 1,
  created_at timestamp default current_timestamp, last_accessed timestamp default current_timestamp,
  ttl_seconds integer default 604800);`;

/** Makes a file of the newest layout; `rows` are further statements. */
export async function makeFile(path: string, variant: Variant, rows = ""): Promise<void> {
  await using database = await DuckDb.open(path, "write");
  await database.script(`${conversations}${reflections[variant]}${queryCache}${rows}; checkpoint`);
}

export async function query(path: string, sql: string): Promise<Row[]> {
  await using database = await DuckDb.open(path, "read");
  return await database.rows(sql);
}

export async function script(path: string, sql: string): Promise<void> {
  await using database = await DuckDb.open(path, "write");
  await database.script(sql);
  await database.script("checkpoint");
}

/** A folder that is gone when disposed. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "session-buddy-"));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** Another process that holds a file until it is disposed. */
export interface FileHolder extends AsyncDisposable {
  readonly pid: number;
  run(sql: string): Promise<void>;
}

export async function holdFile(path: string): Promise<FileHolder> {
  const program = join(import.meta.dirname, "holder.ts");
  const child = spawn(process.execPath, [program, path], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (expected: string) => {
    const { value } = await answers.next();
    if (value !== expected) throw new Error(`the holder said ${value}`);
  };
  await answer("holding");
  return {
    pid: child.pid ?? 0,
    async run(sql) {
      child.stdin.write(`${sql.replaceAll("\n", " ")}\n`);
      await answer("done");
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.stdin?.end();
  await exited;
}

/** The bridge on a free port over a file in a folder; no embedding service answers it. */
export async function startBridge(
  folder: string,
  overrides: SessionBuddyOverrides = {},
  env: Readonly<Record<string, string>> = {},
): Promise<App> {
  const config = readSessionBuddyConfig({
    env: {
      MAHAVISHNU_DATA_DIR: join(folder, "data"),
      MAHAVISHNU_SESSION_BUDDY_FILE: join(folder, "reflection.duckdb"),
      MAHAVISHNU_SESSION_BUDDY_PORT: "0",
      MAHAVISHNU_SESSION_BUDDY_TIME_ZONE: "UTC",
      MAHAVISHNU_EMBEDDING_ADDRESS: "127.0.0.1:1",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "0",
      ...env,
    },
    file: {},
  });
  return createApp(config, {
    logger: silentLogger(),
    ...overrides,
    mirror: {
      watchIntervalMs: 50,
      refreshIntervalMs: 50,
      refreshWaitMs: 5_000,
      lookIntervalMs: 0,
      ...overrides.mirror,
    },
    writing: { retryMs: 50, ...overrides.writing },
    indexing: { pauseMs: 0, retryMs: 50, ...overrides.indexing },
  });
}
