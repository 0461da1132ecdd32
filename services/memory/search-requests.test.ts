import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import {
  type SearchResult,
  Source,
  SourceStatus,
} from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import {
  agentMemory,
  failure,
  fieldsOf,
  ServiceSuite,
  telling,
  turnOf,
} from "./testing/service-suite.ts";

const { POSTGRESQL, SESSION_BUDDY } = Source;
const { OK, FAILED, SKIPPED } = SourceStatus;

const suite = new ServiceSuite();

const search = (more: object = {}, timeoutMs = 10_000) =>
  suite.client.unifiedSearch({ query: "binary unnest", ...more }, { timeoutMs });
const condition = (field: string, value: string) => ({
  node: {
    case: "condition" as const,
    value: {
      field,
      test: {
        case: "equals" as const,
        value: { kind: { case: "stringValue" as const, value } },
      },
    },
  },
});
const idsOf = (results: readonly SearchResult[]) => results.map(({ id }) => id);

describe("pages", () => {
  const store = async (id: string, content: string) => {
    await suite.client.storeMemory(agentMemory(content, { id }));
  };
  const storeMany = async () => {
    for (let n = 0; n < 7; n++) await store(`m${n}`, n % 2 ? `binary ${n}` : `binary unnest ${n}`);
  };

  it("hold every result once and in order, whatever their size", async () => {
    await storeMany();
    const all = idsOf((await search()).results);
    expect(all).toEqual(["m0", "m2", "m4", "m6", "m1", "m3", "m5"]);
    for (const limit of [1, 2, 3, 7]) {
      const seen: string[] = [];
      let pageToken = "";
      do {
        const page = await search({ limit, pageToken });
        expect(page.results.length).toBeLessThanOrEqual(limit);
        seen.push(...idsOf(page.results));
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && seen.length < 20);
      expect(seen).toEqual(all);
    }
  });

  it("go on behind the last result, whatever is stored or deleted meanwhile", async () => {
    await storeMany();
    const first = await search({ limit: 3 });
    await store("a-better-one", "binary unnest, better");
    await suite.client.deleteMemory({ id: "m2" });
    await store("z-later-one", "binary, later");
    const second = await search({ limit: 3, pageToken: first.nextPageToken });
    const third = await search({ limit: 3, pageToken: second.nextPageToken });
    expect([first, second, third].map(({ results }) => idsOf(results))).toEqual([
      ["m0", "m2", "m4"],
      ["m6", "m1", "m3"],
      ["m5", "z-later-one"],
    ]);
  });

  it("are of one request: another one's token is refused, and what is none", async () => {
    await storeMany();
    const { nextPageToken } = await search({ limit: 2 });
    const others = [
      { limit: 3 },
      { limit: 2, query: "binary" },
      { limit: 2, agentId: "a" },
      { limit: 2, filter: condition("agent_id", "a") },
      { limit: 2, recencyHalfLife: { seconds: 5n } },
    ];
    for (const other of others) {
      const error = await failure(search({ ...other, pageToken: nextPageToken }));
      expect([error.code, fieldsOf(error)]).toEqual([Code.InvalidArgument, ["page_token"]]);
    }
    for (const pageToken of ["x", Buffer.from('["a"]').toString("base64url")]) {
      expect(fieldsOf(await failure(search({ limit: 2, pageToken })))).toEqual(["page_token"]);
    }
  });
});

describe("explanations", () => {
  it("come where asked for, and their parts are the score", async () => {
    await suite.client.storeConversationTurn(turnOf(telling));
    await suite.client.storeConversationTurn(turnOf("binary, and then unnest"));
    expect((await search()).results.every(({ explanation }) => explanation === undefined)).toBe(
      true,
    );
    const { results } = await search({ explain: true, recencyHalfLife: { seconds: 3_600n } });
    expect(results.length).toBeGreaterThan(2);
    for (const { score, explanation, foundIn } of results) {
      const {
        vector = 0,
        text = 0,
        neighbours = 0,
        sessionTime = 0,
        recency = 0,
      } = explanation ?? {};
      expect(Math.fround((vector + text + neighbours + sessionTime) * recency)).toBe(score);
      const scores = explanation?.sourceScores ?? [];
      expect(scores[0]).toMatchObject({ source: explanation?.source, score });
      expect(new Set(scores.map(({ source }) => source))).toEqual(new Set(foundIn));
    }
    expect(results.find(({ foundIn }) => foundIn.length === 2)?.explanation?.sourceScores).toEqual([
      expect.objectContaining({ source: POSTGRESQL }),
      expect.objectContaining({ source: SESSION_BUDDY, id: "sb-0" }),
    ]);
  });
});

describe("age", () => {
  it("makes no difference unless a half-life is given", async () => {
    const hoursAgo = (hours: number) => ({
      seconds: BigInt(Math.floor(Date.now() / 1_000) - hours * 3_600),
    });
    const memory = (id: string, content: string, hours: number) =>
      agentMemory(content, { id, createTime: hoursAgo(hours) });
    await suite.client.storeMemory(memory("old", "binary unnest, long ago", 1_000));
    await suite.client.storeMemory(memory("new", "binary, just now", 1));
    expect(idsOf((await search()).results)).toEqual(["old", "new"]);
    const aged = await search({ recencyHalfLife: { seconds: 36_000n } });
    expect(idsOf(aged.results)).toEqual(["new", "old"]);
    const above = await search({ recencyHalfLife: { seconds: 36_000n }, minScore: 0.1 });
    expect(idsOf(above.results)).toEqual(["new"]);
  });

  it.each([{ seconds: 0n, nanos: 5 }, { seconds: -5n }, {}])(
    "is not halved by %s",
    async (recencyHalfLife) => {
      const error = await failure(search({ recencyHalfLife, contextTurns: 21 }));
      expect(fieldsOf(error)).toEqual(["recency_half_life", "context_turns"]);
    },
  );
});

describe("conversations", () => {
  const say = (content: string, more: object = {}) =>
    suite.client.storeConversationTurn(turnOf(content, more));

  it("tell the turns around a hit", async () => {
    for (const content of ["one", "two", "binary unnest", "four"]) await say(content);
    await say("elsewhere", { sessionId: "s2" });
    await suite.client.storeMemory(agentMemory("unnest, but no turn"));
    const { results } = await search({ contextTurns: 2 });
    const [turn, memory] = results;
    const contents = (turns: readonly { content: string }[] = []) =>
      turns.map(({ content }) => content);
    expect(contents(turn?.context?.before)).toEqual(["one", "two"]);
    expect(turn?.context?.turn).toMatchObject({ content: "binary unnest", sequence: 3n });
    expect(contents(turn?.context?.after)).toEqual(["four"]);
    expect(memory).toMatchObject({ content: "unnest, but no turn" });
    expect(memory?.context).toBeUndefined();
    expect((await search()).results[0]?.context).toBeUndefined();
  });

  it("raise a turn whose neighbours match, and none by those of other sessions", async () => {
    await say("binary unnest: how is it done?", { sessionId: "s1", role: Role.USER });
    await say("with binary parameters", { sessionId: "s1", role: Role.ASSISTANT });
    await say("on binary stars", { sessionId: "s2" });
    const { results } = await search({ explain: true });
    expect(results.map(({ content }) => content)).toEqual([
      "binary unnest: how is it done?",
      "with binary parameters",
      "on binary stars",
    ]);
    const gains = results.map(({ explanation }) => explanation?.neighbours);
    expect(gains).toEqual([0, expect.closeTo(0.125), 0]);
  });

  it("are found by when they were said", async () => {
    const at = (day: number) => ({
      seconds: BigInt(Date.UTC(2025, 2, day, 12) / 1_000),
    });
    const { turn } = await say("binary is decided", { sessionId: "s1", createTime: at(3) });
    await say("binary is decided too", { sessionId: "s2", createTime: at(4) });
    expect(turn?.createTime).toMatchObject(at(3));
    const { results } = await search({ query: "binary on 4 March 2025", explain: true });
    expect(results.map(({ content }) => content)).toEqual([
      "binary is decided too",
      "binary is decided",
    ]);
    expect(results[0]?.explanation?.sessionTime).toBeGreaterThan(0);
    const filters = suite.peers.vectorStore.searches.map(({ filter }) => filter?.node);
    expect(filters).toEqual([
      undefined,
      expect.objectContaining({ value: expect.objectContaining({ field: "create_time" }) }),
    ]);
  });
});

describe("filters", () => {
  it("go to both sources", async () => {
    const filter = condition("metadata.kind", "insight");
    const { sourceReports } = await search({ filter });
    expect(sourceReports.map(({ status }) => status)).toEqual([OK, OK]);
    expect(suite.peers.vectorStore.searches[0]?.filter).toMatchObject(filter);
    expect(suite.peers.bridgeSearches[0]?.filter).toMatchObject(filter);
  });
});

describe("a dead bridge", () => {
  it.each(["down", "silent"] as const)("that is %s is left alone after a while", async (mood) => {
    await suite.client.storeMemory(agentMemory("binary unnest"));
    suite.peers.moods.sessionBuddy = mood;
    const statuses: (SourceStatus | undefined)[] = [];
    for (let times = 0; times < 4; times++) {
      const { results, sourceReports } = await search({}, 2_000);
      expect(results).toHaveLength(1);
      statuses.push(sourceReports[1]?.status);
    }
    expect(statuses).toEqual([FAILED, FAILED, FAILED, SKIPPED]);
    const { sourceReports } = await search();
    expect(sourceReports[1]).toMatchObject({
      status: SKIPPED,
      message: expect.stringContaining("left alone"),
      latency: { seconds: 0n, nanos: 0 },
    });
    // With nothing else to ask, that is no empty answer but a failure.
    const error = await failure(search({ sources: [SESSION_BUDDY] }));
    expect(error.code).toBe(Code.Unavailable);
  });
});
