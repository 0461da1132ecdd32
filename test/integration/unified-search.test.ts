import { type Client, Code, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, startService } from "../../services/memory/testing/running-service.ts";
import { failure, fieldsOf } from "../../services/memory/testing/service-suite.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import type { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import {
  type SearchResult,
  Source,
  SourceStatus,
} from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { type MemoryPeers, startMemoryPeers } from "../harness/memory-peers.ts";
import { describeEachStore } from "../harness/postgres.ts";

const { POSTGRESQL, SESSION_BUDDY } = Source;
const { OK, FAILED, SKIPPED } = SourceStatus;

const lesson =
  "When the pool of connections runs dry the callers wait in a queue, and after a while each of them is told that the database is overloaded and should be asked again.";

describeEachStore("unified search over real stores", (_kind, database) => {
  const resources = new Resources();
  let peers: MemoryPeers;
  let client: Client<typeof MemoryService>;
  let bridge: Client<typeof SessionBuddyService>;

  beforeAll(async () => {
    peers = await startMemoryPeers(database().url);
    resources.use("peers", peers);
    const service = await startService({ postgresUrl: database().url, env: peers.env });
    resources.use("memory", service);
    client = service.client;
    const transport = createGrpcTransport({ address: peers.sessionBuddyAddress });
    resources.defer("bridge", () => transport.close());
    bridge = createClient(SessionBuddyService, transport);
  });
  afterAll(() => resources[Symbol.asyncDispose]());

  const search = (query: string, more: object = {}) =>
    client.unifiedSearch({ query, ...more }, { timeoutMs: 20_000 });
  const store = (content: string, more: object = {}) =>
    client.storeMemory({ memory: { content, memoryType: MemoryType.RAG, ...more } });
  const say = (content: string, more: object = {}) =>
    client.storeConversationTurn({
      agentId: "agent-1",
      sessionId: "session-1",
      role: Role.USER,
      content,
      ...more,
    });
  const contentsOf = (results: readonly SearchResult[]) => results.map(({ content }) => content);
  /** Until what was stored last is searched by its vector, so that scores stay as they are. */
  const bridgeIsCurrent = () =>
    eventually(async () => {
      const { sourceReports } = await search("anything", { sources: [SESSION_BUDDY] });
      return sourceReports[1]?.status === OK;
    });
  const equals = (field: string, value: string) => ({
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

  describe("both sources", () => {
    it("fold what is nearly the same in both into one result that names both", async () => {
      await store(lesson);
      await bridge.storeReflection({ content: `${lesson.replace(",", ";")} Truly.` });
      await bridgeIsCurrent();
      const { results } = await search("callers wait when the pool runs dry", { explain: true });
      expect(results[0]?.foundIn.toSorted()).toEqual([POSTGRESQL, SESSION_BUDDY]);
      expect(results[0]?.explanation?.sourceScores).toHaveLength(2);
      expect(results.filter(({ content }) => content.startsWith("When the pool"))).toHaveLength(1);
    });

    it("are filtered before the limit", async () => {
      for (let n = 0; n < 12; n++) {
        await store(`walrus walrus walrus number ${n}`, { metadata: { shelf: "loud" } });
        await bridge.storeReflection({ content: `walrus walrus walrus note ${n}` });
      }
      await store("one walrus among a great many other words here", {
        metadata: { shelf: "quiet" },
      });
      await bridge.storeReflection({
        content: "another walrus among very many different words there",
        metadata: { shelf: "quiet" },
      });
      await bridgeIsCurrent();
      const quiet = await search("walrus", { limit: 2, filter: equals("metadata.shelf", "quiet") });
      expect(quiet.sourceReports.map(({ status }) => status)).toEqual([OK, OK]);
      expect(quiet.results.map(({ source }) => source).sort()).toEqual([POSTGRESQL, SESSION_BUDDY]);
      const ours = await search("walrus", { filter: equals("source_system", "mahavishnu") });
      expect(ours.sourceReports).toMatchObject([{ status: OK }, { status: OK, resultCount: 0 }]);
    });

    it("refuse a filter that is not valid, whichever is asked", async () => {
      for (const sources of [[], [POSTGRESQL], [SESSION_BUDDY]]) {
        const error = await failure(search("walrus", { sources, filter: equals("shelf", "x") }));
        expect(fieldsOf(error)).toEqual(["filter.condition.field"]);
      }
    });

    it("are paged through as one list", async () => {
      const all = await search("walrus", { limit: 26 });
      expect(all.results).toHaveLength(26);
      expect(new Set(all.results.map(({ source }) => source)).size).toBe(2);
      const paged: SearchResult[] = [];
      let pageToken = "";
      do {
        const page = await search("walrus", { limit: 7, pageToken, filter: {} });
        paged.push(...page.results);
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && paged.length < 26);
      expect(contentsOf(paged.slice(0, 26))).toEqual(contentsOf(all.results));
      expect(new Set(paged.map(({ id }) => id)).size).toBe(paged.length);
    });

    it("explain every score", async () => {
      await say("is a walrus a mammal?", { sessionId: "walrus" });
      await say("a walrus is one, yes", { sessionId: "walrus", role: Role.ASSISTANT });
      const { results } = await search("walrus this year", {
        limit: 30,
        explain: true,
        recencyHalfLife: { seconds: 600n },
      });
      const sums = new Set<Source>();
      for (const { score, explanation } of results) {
        if (explanation === undefined) throw new Error("there is no explanation");
        const { vector, text, neighbours, sessionTime, recency, source } = explanation;
        expect(Math.fround((vector + text + neighbours + sessionTime) * recency)).toBe(score);
        expect(recency).toBeLessThanOrEqual(1);
        expect(sessionTime).toBeGreaterThan(0);
        sums.add(source);
      }
      expect(sums.size).toBe(2);
      // What was stored first is older than this search by any clock.
      expect(Math.min(...results.map((one) => one.explanation?.recency ?? 1))).toBeLessThan(1);
      const turn = results.find(({ content }) => content === "is a walrus a mammal?");
      expect(turn?.explanation?.neighbours).toBeGreaterThan(0);
    });
  });

  describe("pages while memories are written", () => {
    const repoId = "colony";
    // All of one length, so that what is written changes no score of what is there: a query of one
    // word has no other weights, and lengths count by their mean.
    const sized = (name: string, times: number) =>
      Array.from({ length: 10 }, (_, n) => (n < times ? "puffin" : `${name}x${n}`)).join(" ");
    const query = "puffin";
    /** Every page by itself; `between` runs after each that leads on. */
    const pagesOf = async (limit: number, between: (page: number) => Promise<void>) => {
      const pages: SearchResult[][] = [];
      let pageToken = "";
      do {
        const { results, nextPageToken } = await search(query, { repoId, limit, pageToken });
        pages.push(results);
        pageToken = nextPageToken;
        if (pageToken !== "") await between(pages.length);
      } while (pageToken !== "" && pages.length < 100);
      return pages;
    };
    const idsOf = (results: readonly SearchResult[]) => results.map(({ id }) => id);

    it("repeat nothing and lose nothing that stayed as it was", async () => {
      for (let n = 0; n < 30; n++) await store(sized(`old${n}`, 1 + (n % 5)), { repoId });
      for (let n = 0; n < 12; n++) {
        await bridge.storeReflection({ content: sized(`note${n}`, 1 + (n % 5)), project: repoId });
      }
      await bridgeIsCurrent();
      const before = (await search(query, { repoId, limit: 100 })).results;
      expect(before).toHaveLength(42);
      const touched = new Set<string>();
      const seen = new Set<string>();
      const oursBehind = (place: number) => {
        const one = before.filter(({ id, source }) => !seen.has(id) && source === POSTGRESQL);
        const { id = "" } = one.at(place) ?? {};
        touched.add(id);
        return id;
      };
      const pages = await pagesOf(6, async (page) => {
        // Louder and quieter than everything; what is loud takes the first places by far.
        for (let n = 0; n < 40; n++) await store(sized(`loud${page}n${n}`, 9), { repoId });
        await store(sized(`late${page}`, 1), { repoId });
        if (page > 2) return;
        for (const { id } of before.slice((page - 1) * 6, page * 6)) seen.add(id);
        const [was] = before.filter(({ id, source }) => seen.has(id) && source === POSTGRESQL);
        await client.updateMemory({ memory: { id: was?.id ?? "", metadata: { page } } });
        await client.deleteMemory({ id: oursBehind(-page) });
        const id = oursBehind(-page - 3);
        await client.updateMemory({ memory: { id, content: sized(`new${page}`, 9) } });
      });
      const paged = idsOf(pages.flat());
      expect(new Set(paged).size).toBe(paged.length);
      const untouched = idsOf(before).filter((id) => !touched.has(id));
      expect(paged.filter((id) => untouched.includes(id))).toEqual(untouched);
      expect(touched.size).toBe(4);
    }, 60_000);

    it("go on behind the last result, whatever becomes of the scores", async () => {
      const pages = await pagesOf(10, async (page) => {
        if (page > 4) return;
        // Shorter ones first, then longer ones: the mean length falls and rises.
        const words = page < 3 ? "puffin" : sized("long", 1).repeat(12);
        for (let n = 0; n < 10; n++) await store(`${words} ${page}of${n}`, { repoId });
        await bridge.storeReflection({ content: `${words} ${page}`, project: repoId });
        await bridgeIsCurrent();
      });
      const all = pages.flat();
      expect(pages.length).toBeLessThan(100);
      const places = all.map(({ score }) => score);
      expect(places).toEqual(places.toSorted((a, b) => b - a));
      for (const page of pages) expect(new Set(idsOf(page)).size).toBe(page.length);
    }, 60_000);
  });

  describe("conversations", () => {
    it("are found by what stands beside what matches, and told with what is around", async () => {
      const sessionId = "deploys";
      await say("Good morning.", { sessionId });
      await say("Who has to approve a deploy on Fridays?", { sessionId });
      await say("Mara, or Jonas when she is away.", { sessionId, role: Role.ASSISTANT });
      await say("Thanks!", { sessionId });
      await say("Bread rises well in a warm kitchen.", { sessionId: "baking" });
      await say("Mara bakes bread.", { sessionId: "baking", role: Role.ASSISTANT });
      const { results } = await search("who approves a deploy on a Friday", {
        agentId: "agent-1",
        contextTurns: 2,
      });
      const [first, ...others] = contentsOf(results);
      expect(first).toBe("Who has to approve a deploy on Fridays?");
      // Neither has a word of the question; both stand beside the one that has.
      expect(others.slice(0, 2).sort()).toEqual([
        "Good morning.",
        "Mara, or Jonas when she is away.",
      ]);
      const { before = [], after = [], turn } = results[0]?.context ?? {};
      expect(before.map(({ content }) => content)).toEqual(["Good morning."]);
      expect(turn?.sequence).toBe(2n);
      expect(after.map(({ content }) => content)).toEqual([
        "Mara, or Jonas when she is away.",
        "Thanks!",
      ]);
    });

    it("are found by when they were held", async () => {
      const on = (day: number) => ({ seconds: BigInt(Date.UTC(2025, 5, day, 10) / 1_000) });
      for (let day = 1; day <= 9; day++) {
        await say(`Status of the importer: step ${day} is done.`, {
          sessionId: `daily-${day}`,
          createTime: on(day),
        });
      }
      const { results } = await search("status of the importer on 4 June 2025", { limit: 1 });
      expect(contentsOf(results)).toEqual(["Status of the importer: step 4 is done."]);
      expect(results[0]?.createTime).toMatchObject(on(4));
    });
  });

  describe("a bridge that is gone", () => {
    it("is left alone after three failures, and asked again once it is back", async () => {
      await peers.stop("sessionBuddy");
      const statuses: (SourceStatus | undefined)[] = [];
      for (let times = 0; times < 4; times++) {
        const { results, sourceReports } = await search("walrus");
        expect(results.length).toBeGreaterThan(0);
        statuses.push(sourceReports[1]?.status);
      }
      expect(statuses).toEqual([FAILED, FAILED, FAILED, SKIPPED]);
      await peers.restart("sessionBuddy");
      await eventually(async () => (await search("walrus")).sourceReports[1]?.status === OK);
    });
  });

  describe("a vector store that is gone", () => {
    it("fails the search of PostgreSQL alone, and leaves that of both to the bridge", async () => {
      await bridge.storeReflection({ content: "A capybara shares its pond with everyone." });
      await bridgeIsCurrent();
      await peers.stop("vectorStore");
      const error = await failure(search("capybara pond", { sources: [POSTGRESQL] }));
      expect(error.code).toBe(Code.Unavailable);
      expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("ALL_SOURCES_FAILED");
      expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toMatchObject({ seconds: 1n });
      const both = await search("capybara pond", { sources: [POSTGRESQL, SESSION_BUDDY] });
      expect(both.sourceReports).toMatchObject([
        { source: POSTGRESQL, status: FAILED, resultCount: 0 },
        { source: SESSION_BUDDY, status: OK },
      ]);
      expect(both.sourceReports[0]?.message).not.toBe("");
      expect(both.results[0]).toMatchObject({
        content: "A capybara shares its pond with everyone.",
        foundIn: [SESSION_BUDDY],
        memoryId: "",
      });
      await peers.restart("vectorStore");
      await eventually(async () => (await search("walrus")).sourceReports[0]?.status === OK);
    }, 60_000);
  });
});
