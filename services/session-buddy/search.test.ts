import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import {
  type SearchReflectionsResponse,
  SessionBuddyService,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { createEmbedder } from "./embedding-client.ts";
import { makeFile, startBridge, temporaryFolder } from "./testing/session-buddy-files.ts";

/** Tells animals from machines, whatever the words. */
const vectors: Readonly<Record<string, number[]>> = {
  "a zebra grazes": [1, 0],
  "horses gallop": [0.8, 0.6],
  "engines roar": [0, 1],
};

let resources: Resources;
let folder: string;
let asked: { model: string; texts: string[] }[];

beforeEach(async () => {
  resources = new Resources();
  folder = resources.use("folder", await temporaryFolder()).path;
  asked = [];
});
afterEach(() => resources[Symbol.asyncDispose]());

/** A bridge, and an embedding service that knows one model and refuses one text. */
async function start(rows: string): Promise<Client<typeof SessionBuddyService>> {
  await makeFile(join(folder, "reflection.duckdb"), "adapter", rows);
  const embedding = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    health: new HealthRegistry(),
    logger: silentLogger(),
    services: [
      service(EmbeddingService, {
        embed({ model, texts }) {
          asked.push({ model, texts });
          if (model !== "" && model !== "animals") throw new ConnectError("no", Code.NotFound);
          return {
            model: "animals",
            dimension: 2,
            embeddings: texts.map((text) => {
              const values = vectors[text];
              return values === undefined
                ? { result: { case: "error", value: { code: Code.InvalidArgument } } as const }
                : { result: { case: "vector", value: { values } } as const };
            }),
          };
        },
      }),
    ],
  });
  resources.defer("embedding", () => embedding.shutdown(0));
  const peer = createGrpcTransport({ address: embedding.address });
  resources.defer("peer", () => peer.close());
  const app = await startBridge(folder, { embedder: createEmbedder(peer) });
  resources.use("app", app);
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  return createClient(SessionBuddyService, transport);
}

const rows = `insert into reflections_v2 (id, content, insight_type) values
  ('z', 'a zebra grazes', null), ('h', 'horses gallop', null), ('e', 'engines roar', null),
  ('x', 'a zebra that nobody embeds', null)`;

async function search(
  bridge: Client<typeof SessionBuddyService>,
  done: (response: SearchReflectionsResponse) => boolean,
): Promise<SearchReflectionsResponse> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const response = await bridge.searchReflections({
      query: "zebra",
      vector: { values: [1, 0] },
      model: "animals",
    });
    if (done(response)) return response;
    await sleep(25);
  }
  throw new Error("still not so");
}

test("a vector finds what means the same; a record without one scores by its words", async () => {
  const bridge = await start(rows);
  const { hits } = await search(bridge, ({ stale }) => !stale);
  const byId = new Map(hits.map((hit) => [hit.record?.id, hit]));
  expect(byId.get("h")?.vectorScore).toBeCloseTo(0.8);
  expect(byId.get("h")?.textScore).toBe(0);
  expect(byId.get("h")?.score).toBeCloseTo(0.48);
  const zebra = byId.get("z");
  expect(zebra?.score).toBeCloseTo(0.6 + 0.4 * (zebra?.textScore ?? 0));
  expect(byId.get("x")?.vectorScore).toBeUndefined();
  expect(byId.get("x")?.score).toBe(byId.get("x")?.textScore);
  expect(byId.has("e")).toBe(false);
  expect(hits[0]?.record?.id).toBe("z");
  expect(await bridge.getStatus({})).toMatchObject({ indexedRecords: 3n, totalRecords: 4n });
  // The refused one is not asked for again and again.
  expect(asked.filter(({ texts }) => texts.some((text) => text.includes("nobody")))).toHaveLength(
    1,
  );
});

test("what is stored gets its vector without being asked for", async () => {
  const bridge = await start("select 1");
  await bridge.storeReflection({ content: "horses gallop" });
  const { hits } = await search(bridge, (response) => response.hits.length > 0);
  expect(hits[0]?.vectorScore).toBeCloseTo(0.8);
});

test("a model that nobody serves: found by text, flagged, and the index stays", async () => {
  const bridge = await start(rows);
  await search(bridge, ({ stale }) => !stale);
  const other = { query: "zebra", vector: { values: [1, 0, 0] }, model: "nobody's" };
  const answer = await bridge.searchReflections(other);
  expect(answer).toMatchObject({ stale: true });
  expect(answer.message).toContain(`"nobody's"`);
  expect(answer.hits.map(({ record }) => record?.id).sort()).toEqual(["x", "z"]);
  expect((await bridge.getStatus({})).indexedRecords).toBe(3n);
});

test("a vector of another dimension than the model's is refused", async () => {
  const bridge = await start(rows);
  await search(bridge, ({ stale }) => !stale);
  const wrong = { query: "zebra", vector: { values: [1] }, model: "animals" };
  const error = ConnectError.from(
    await bridge.searchReflections(wrong).catch((reason: unknown) => reason),
  );
  expect(error.code).toBe(Code.FailedPrecondition);
  expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
    reason: "DIMENSION_MISMATCH",
    metadata: { expected: "2", actual: "1", model: "animals" },
  });
});

test("without a place for the side index all is found by text, and GetStatus says so", async () => {
  await mkdir(join(folder, "data", "session-buddy", "side-index.duckdb"), { recursive: true });
  const bridge = await start(rows);
  const { hits, stale } = await search(bridge, (response) => response.hits.length === 2);
  expect(stale).toBe(true);
  expect(hits.every(({ vectorScore }) => vectorScore === undefined)).toBe(true);
  expect((await bridge.getStatus({})).message).toContain("by text only");
});

test("a file with an HNSW index is read and not written", async () => {
  const bridge = await start(
    `${rows}; create index idx_default_refl_embeddings_hnsw on reflections_v2 (usage_count)`,
  );
  await search(bridge, ({ hits }) => hits.length > 0);
  const error = ConnectError.from(
    await bridge.storeReflection({ content: "new" }).catch((reason: unknown) => reason),
  );
  expect(error.code).toBe(Code.FailedPrecondition);
  expect(error.rawMessage).toContain("idx_default_refl_embeddings_hnsw");
  expect((await bridge.getStatus({})).message).toContain("HNSW");
  expect(await readdir(folder)).not.toContain("reflection.duckdb.wal");
});

test("a file without records is behind in nothing", async () => {
  const bridge = await start("select 1");
  const query = { query: "zebra", vector: { values: [1, 0] }, model: "animals" };
  expect(await bridge.searchReflections(query)).toMatchObject({ hits: [], stale: false });
});

test("a filter applies before the limit, and one that is not valid names its field", async () => {
  const many = Array.from(
    { length: 30 },
    (_, n) => `('m${n}', 'zebra zebra zebra ${n}', null, '["loud"]')`,
  );
  const bridge = await start(
    `insert into reflections_v2 (id, content, insight_type, tags) values
      ${many.join(", ")}, ('q', 'one zebra among many other words', null, '["quiet"]')`,
  );
  const withTag = (tag: string) => ({
    query: "zebra",
    limit: 1,
    filter: {
      node: {
        case: "condition" as const,
        value: {
          field: "metadata.tags",
          test: {
            case: "contains" as const,
            value: { kind: { case: "stringValue" as const, value: tag } },
          },
        },
      },
    },
  });
  const { hits } = await bridge.searchReflections(withTag("quiet"));
  expect(hits.map(({ record }) => record?.id)).toEqual(["q"]);
  expect((await bridge.searchReflections(withTag("none"))).hits).toEqual([]);
  const bad = withTag("quiet");
  bad.filter.node.value.field = "vector";
  const error = ConnectError.from(
    await bridge.searchReflections(bad).catch((reason: unknown) => reason),
  );
  expect(error.code).toBe(Code.InvalidArgument);
});
