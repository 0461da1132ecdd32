import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { failure, until } from "./testing/bridge-calls.ts";
import { type Bridge, sceneOfEachTest, serving } from "./testing/bridge-scene.ts";
import { makeFile, script } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

describe("searching", () => {
  test("filters before the limit, orders equal scores by id, honours min_score", async () => {
    const rows = Array.from({ length: 30 }, (_, at) => {
      const id = `id${String(at).padStart(2, "0")}`;
      return `('${id}', 'bounded pools', ${at === 29 ? "'rare'" : "'common'"}, ${at % 2 ? "'general'" : "null"})`;
    });
    await makeFile(
      scene.file,
      "adapter",
      `insert into reflections_v2 (id, content, project, insight_type) values ${rows.join(",")}`,
    );
    const bridge = await scene.start();
    const ids = async (request: Parameters<Bridge["searchReflections"]>[0]) =>
      (await bridge.searchReflections(request)).hits.map(({ record }) => record?.id);
    expect(await ids({ query: "pool", limit: 3 })).toEqual(["id00", "id01", "id02"]);
    expect(await ids({ query: "pool", limit: 3, project: "rare" })).toEqual(["id29"]);
    expect(await ids({ query: "pool", limit: 3, kinds: [RecordKind.INSIGHT] })).toEqual([
      "id01",
      "id03",
      "id05",
    ]);
    expect(await ids({ query: "pool", kinds: [RecordKind.CONVERSATION] })).toEqual([]);
    expect(await ids({ query: "pool zebra", minScore: 0.99 })).toEqual([]);
    expect(await ids({ query: "pool" })).toHaveLength(10);
    expect(await ids({ query: "the and of" })).toEqual([]);
    expect(await ids({ query: "'); drop table reflections_v2; --" })).toEqual([]);
  });

  test("every wrong field is named at once", async () => {
    const bridge = await scene.start();
    const search = await failure(
      bridge.searchReflections({
        query: " ",
        limit: 1001,
        minScore: 2,
        vector: { values: [0] },
        kinds: [RecordKind.UNSPECIFIED],
      }),
    );
    expect(search.code).toBe(Code.InvalidArgument);
    expect(new Set(search.fields)).toEqual(
      new Set(["query", "limit", "min_score", "model", "vector", "kinds[0]"]),
    );
    const store = await failure(
      bridge.storeInsight({
        content: "x".repeat(65_537),
        insightType: "wisdom",
        topics: Array.from({ length: 33 }, () => ""),
        confidence: 1.5,
        quality: Number.NaN,
        requestId: "é".repeat(65),
      }),
    );
    expect(store.fields).toEqual(
      expect.arrayContaining([
        "content",
        "insight_type",
        "topics",
        "topics[0]",
        "confidence",
        "quality",
        "request_id",
      ]),
    );
  });

  test("what another program stores meanwhile is found", async () => {
    const bridge = await scene.start();
    await until(() => serving(bridge));
    await script(
      scene.file,
      "insert into reflections_v2 (id, content) values ('x', 'a foreign zebra')",
    );
    await until(async () => {
      const { hits } = await bridge.searchReflections({ query: "zebras" });
      return hits[0]?.record?.id === "x";
    });
  });

  test("a text of one megabyte is found and does not stop the process", async () => {
    await makeFile(scene.file, "adapter");
    await script(
      scene.file,
      `insert into conversations_v2 (id, content, category)
       select 'big', repeat('lorem ipsum dolor ', 60000) || ' needle', 'context'`,
    );
    const bridge = await scene.start();
    const { hits } = await bridge.searchReflections({ query: "needles" });
    expect(hits[0]?.record?.content).toHaveLength(60_000 * 18 + 7);
  });
});
