import { describe, expect, test } from "vitest";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { insight } from "./testing/bridge-calls.ts";
import { sceneOfEachTest } from "./testing/bridge-scene.ts";
import { makeFile } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

describe("tenants", () => {
  const as = (tenant: string) => ({ headers: { [tenantHeader]: tenant } });

  test("each finds its own records and Session-Buddy's, not another's", async () => {
    await makeFile(
      scene.file,
      "adapter",
      `insert into reflections_v2 (id, content, insight_type, metadata) values
         ('theirs', 'pools of everyone', 'general', '{"mahavishnu": "a word of theirs"}')`,
    );
    const bridge = await scene.start();
    const one = await bridge.storeInsight({ ...insight, requestId: "" }, as("t1"));
    const request = { query: "connection pools", project: "", limit: 10 };
    const ids = async (tenant: string, more = {}) => {
      const { hits } = await bridge.searchReflections({ ...request, ...more }, as(tenant));
      return hits.map(({ record }) => record?.id).sort();
    };
    expect(await ids("t1")).toEqual([one.id, "theirs"].sort());
    expect(await ids("t2")).toEqual(["theirs"]);
    expect(await ids("t2", { project: "mahavishnu" })).toEqual([]);

    const two = await bridge.storeInsight({ ...insight, requestId: "" }, as("t2"));
    expect(two.deduplicated).toBe(false);
    expect(await ids("t2")).toEqual([two.id, "theirs"].sort());
    expect(await ids("t1")).toEqual([one.id, "theirs"].sort());
    const known = await bridge.storeInsight({ content: "Pools of everyone!" }, as("t2"));
    expect(known).toMatchObject({ id: "theirs", deduplicated: true });
    expect((await bridge.getStatus({}, as("t3"))).totalRecords).toBe(3n);
  });

  test("what marks a record as a tenant's does not leave the bridge", async () => {
    const bridge = await scene.start();
    await bridge.storeInsight(insight, as("t1"));
    const { hits } = await bridge.searchReflections({ query: "pools" }, as("t1"));
    expect(hits[0]?.record?.metadata).toEqual({
      workflow_id: "w1",
      quality_score: 0.8,
      source_conversation_id: "c1",
      source_reflection_id: null,
    });
  });
});
