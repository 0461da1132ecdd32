import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  startBridge,
  temporaryFolder,
} from "../../services/session-buddy/testing/session-buddy-files.ts";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";

/** Files written by Session-Buddy's own code; not part of the project. */
const folder = resolve(import.meta.dirname, "../../../shared/fixtures/session-buddy");
const newest = join(folder, "2026-08-v2.duckdb");
const older = join(folder, "2026-01-per-collection-file.duckdb");

let resources: Resources;
beforeEach(() => {
  resources = new Resources();
});
afterEach(() => resources[Symbol.asyncDispose]());

async function bridgeOver(original: string) {
  const temporary = resources.use("folder", await temporaryFolder());
  await copyFile(original, join(temporary.path, "reflection.duckdb"));
  const app = resources.use("app", await startBridge(temporary.path));
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  return createClient(SessionBuddyService, transport);
}

describe.skipIf(!existsSync(newest))("a file of Session-Buddy's newest code", () => {
  test("is read whole: conversations, reflections and insights", async () => {
    const bridge = await bridgeOver(newest);
    const { hits } = await bridge.searchReflections({ query: "pgvector retry pools", limit: 100 });
    expect(new Set(hits.map(({ record }) => record?.kind))).toEqual(
      new Set([RecordKind.CONVERSATION, RecordKind.REFLECTION, RecordKind.INSIGHT]),
    );
    const status = await bridge.getStatus({});
    expect(status).toMatchObject({ readable: true, eras: ["F"], unknownTables: [], message: "" });
    expect(status.totalRecords).toBe(15n);
    const rows = new Map(status.tables.map(({ table, rows }) => [table, Number(rows)]));
    expect(rows.get("conversations_v2")).toBe(6);
    expect(rows.get("reflections_v2")).toBe(9);
  });

  test("knows what Session-Buddy stored, and takes what is new", async () => {
    const bridge = await bridgeOver(newest);
    const known = await bridge.storeInsight({
      content: "always use ASYNC pools, because connections leak otherwise!",
    });
    expect(known.deduplicated).toBe(true);
    const fresh = await bridge.storeInsight({ content: "Never share one connection" });
    const { hits } = await bridge.searchReflections({ query: "sharing connections" });
    expect(hits[0]?.record?.id).toBe(fresh.id);
  });
});

describe.skipIf(!existsSync(older))("a file of an older layout", () => {
  test("is recognised, and told apart from one without records", async () => {
    const bridge = await bridgeOver(older);
    await bridge.searchReflections({ query: "anything" });
    const status = await bridge.getStatus({});
    expect(status).toMatchObject({ readable: true, unknownTables: [], totalRecords: 0n });
    expect(status.eras).toEqual(["E"]);
    expect(status.message).toContain("layouts E are not read");
  });
});
