import { stat } from "node:fs/promises";
import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Delivery } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { failure, insight } from "./testing/bridge-calls.ts";
import { sceneOfEachTest } from "./testing/bridge-scene.ts";
import { makeFile, query, startBridge } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

describe("storing again", () => {
  test("the same text or request id returns the first id", async () => {
    const bridge = await scene.start();
    const { id } = await bridge.storeInsight(insight);
    const again = { id, deduplicated: true, delivery: Delivery.WRITTEN };
    expect(await bridge.storeInsight(insight)).toMatchObject(again);
    const reworded = "always bound the CONNECTION pool because leaks starve the others.";
    expect(await bridge.storeInsight({ content: reworded, project: "mahavishnu" })).toMatchObject(
      again,
    );
    expect(
      (await bridge.storeInsight({ ...insight, project: "other", requestId: "" })).id,
    ).not.toBe(id);
    expect((await bridge.storeReflection({ content: insight.content })).deduplicated).toBe(false);
    const reused = await failure(bridge.storeInsight({ ...insight, content: "something else" }));
    expect(reused).toMatchObject({
      code: Code.AlreadyExists,
      info: { reason: "REQUEST_ID_REUSED" },
    });
  });

  test("is known after a restart, and when Session-Buddy stored it", async () => {
    await makeFile(
      scene.file,
      "adapter",
      "insert into reflections_v2 (id, content, insight_type) values ('theirs', 'Bound the pool.', 'general')",
    );
    {
      await using app = await startBridge(scene.folder);
      const transport = createGrpcTransport({ address: app.address });
      await createClient(SessionBuddyService, transport).storeInsight(insight);
      transport.close();
    }
    const bridge = await scene.start();
    expect((await bridge.storeInsight(insight)).deduplicated).toBe(true);
    expect(await bridge.storeInsight({ content: "bound the pool" })).toMatchObject({
      id: "theirs",
      deduplicated: true,
    });
  });

  test("twenty callers at once store one record", async () => {
    const bridge = await scene.start();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => bridge.storeInsight(insight)),
    );
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(answers.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
  });

  test("twenty different ones at once are all there", async () => {
    const bridge = await scene.start();
    const texts = Array.from({ length: 20 }, (_, at) => `reflection number ${at} of many`);
    await Promise.all(texts.map((content) => bridge.storeReflection({ content })));
    const { hits } = await bridge.searchReflections({ query: "reflection", limit: 100 });
    expect(hits.map(({ record }) => record?.content).sort()).toEqual(texts.sort());
    expect(await query(scene.file, "select count(*)::int as n from reflections_v2")).toEqual([
      { n: 20 },
    ]);
  });
});

test("the file's size does not grow when nothing is written", async () => {
  const bridge = await scene.start();
  await bridge.storeInsight(insight);
  const { size, mtimeMs } = await stat(scene.file);
  for (let round = 0; round < 5; round++) await bridge.storeInsight(insight);
  expect(await stat(scene.file)).toMatchObject({ size, mtimeMs });
});
