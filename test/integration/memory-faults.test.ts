import { expect } from "vitest";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  describeWalks,
  embeddedMemory,
  hasContent,
  insightPieces,
  lessonOf,
  telling,
  textOf,
} from "../harness/fault-walk.ts";

describeWalks([
  {
    name: "StoreMemory with an insight and a request id",
    call: (at) =>
      at.client.storeMemory(
        {
          memory: { content: telling(at), memoryType: MemoryType.AGENT, agentId: "a" },
          requestId: `request-${at.step}`,
        },
        at.options,
      ),
    async pieces(at) {
      return {
        memory: (await hasContent(at, telling(at))) === 1,
        request:
          (await at.look.count("request_ids", "request_id = $2", `request-${at.step}`)) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "StoreMemory of a plain memory",
    call: (at) =>
      at.client.storeMemory(
        { memory: { content: textOf(at), memoryType: MemoryType.RAG } },
        at.options,
      ),
    pieces: embeddedMemory,
  },
  {
    name: "StoreConversationTurn",
    call: (at) =>
      at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: textOf(at) },
        at.options,
      ),
    async pieces(at) {
      return {
        memory: (await hasContent(at, textOf(at))) === 1,
        turn: (await at.look.count("agent_conversations", "content = $2", textOf(at))) === 1,
      };
    },
  },
  {
    name: "StoreConversationTurn with an insight",
    call: (at) =>
      at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: telling(at) },
        at.options,
      ),
    async pieces(at) {
      return {
        memory: (await hasContent(at, telling(at))) === 1,
        turn: (await at.look.count("agent_conversations", "content = $2", telling(at))) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "StoreConversationTurn with an insight and a request id, repeated",
    repeated: true,
    async call(at) {
      const { turn } = await at.client.storeConversationTurn(
        {
          agentId: "a",
          sessionId: `s-${at.step}`,
          role: Role.USER,
          content: telling(at),
          requestId: `request-${at.step}`,
        },
        at.options,
      );
      expect(turn?.sequence).toBe(1n);
    },
    async pieces(at) {
      return {
        memory: (await hasContent(at, telling(at))) === 1,
        turn: (await at.look.count("agent_conversations", "content = $2", telling(at))) === 1,
        request:
          (await at.look.count("request_ids", "request_id = $2", `request-${at.step}`)) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "a request of BulkStore that tells an insight",
    async call(at) {
      const memories = ["first", "second"].map((label) => ({
        content: telling(at, label),
        memoryType: MemoryType.RAG,
      }));
      const requests = async function* () {
        yield { sequence: 1n, memories };
      };
      for await (const { results, error } of at.client.bulkStore(requests(), at.options)) {
        expect(error).toBeUndefined();
        expect(results).toHaveLength(memories.length);
        for (const result of results) expect(result.error).toBeUndefined();
      }
    },
    async pieces(at) {
      const stored = (label: string) =>
        at.look.count("memories", "content like $2 || '%'", `${textOf(at, label)}\n`);
      return {
        first: (await stored("first")) === 1,
        second: (await stored("second")) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "ShareInsight with two repositories",
    call: (at) =>
      at.client.shareInsight(
        { workflowId: `w-${at.step}`, insight: lessonOf(at), targetRepos: ["first", "second"] },
        at.options,
      ),
    async pieces(at) {
      const sharedWith = (repo: string) =>
        at.look.count("memories", "content = $2 and repo_id = $3", lessonOf(at), repo);
      return {
        first: (await sharedWith("first")) === 1,
        second: (await sharedWith("second")) === 1,
        delivered: at.look.delivered(lessonOf(at)) === 1,
      };
    },
  },
]);
