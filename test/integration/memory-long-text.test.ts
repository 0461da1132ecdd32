import { createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { eventually } from "../../services/memory/testing/running-service.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import {
  SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { MemorySuite } from "../harness/memory-suite.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("a long text in memory", (_kind, database) => {
  const suite = new MemorySuite(database);
  const { store, tablesThatHold } = suite;

  describe("a text of 200 KB with one fact in its middle", () => {
    const fact = "The vault of Marrakesh opens with the brass key of the lighthouse keeper.";
    const filler = Array.from(
      { length: 3_400 },
      (_, n) => `Entry ${n} tells of meeting ${n % 37}, budgets, and plans of quarter ${n % 4}. `,
    );
    /** Each under an owner of its own, among short texts of theirs. */
    const content = (owner: string) =>
      [...filler.slice(0, 1_700), owner, ". ", fact, " ", ...filler.slice(1_700)].join("");

    const storeAmongOthers = async (agentId: string) => {
      for (let n = 0; n < 20; n++)
        await store(`Meeting ${n} was about plans and budgets.`, { agentId });
      const text = content(agentId);
      expect(Buffer.byteLength(text)).toBeGreaterThan(200_000);
      return await store(text, { agentId });
    };
    const passageCount = async (id: string) => {
      const { rows } = await suite.postgres.query<{ count: number }>(
        "select count(*)::int as count from memories_passages where document_id = $1",
        [id],
      );
      return rows[0]?.count ?? 0;
    };

    /** What the vector store finds by the query's vector alone. */
    async function byVector(agentId: string) {
      await using embedding = createGrpcTransport({ address: suite.peers.embeddingAddress });
      await using vectorStore = createGrpcTransport({ address: suite.peers.vectorStoreAddress });
      const { embeddings } = await createClient(EmbeddingService, embedding).embed({
        texts: ["brass key of the lighthouse keeper, vault of Marrakesh"],
        task: EmbeddingTask.SEARCH_QUERY,
      });
      const result = embeddings[0]?.result;
      if (result?.case !== "vector") throw new Error("a query has a vector");
      const { hits } = await createClient(VectorStoreService, vectorStore).search({
        mode: SearchMode.VECTOR,
        vector: result.value,
        filter: {
          node: {
            case: "condition",
            value: {
              field: "agent_id",
              test: { case: "equals", value: { kind: { case: "stringValue", value: agentId } } },
            },
          },
        },
      });
      return hits;
    }

    async function expectFound(agentId: string, id: string) {
      const [first, ...others] = await byVector(agentId);
      expect(first?.document?.id).toBe(id);
      expect(others.map((hit) => hit.document?.id)).not.toContain(id);
      const { start = 0, end = 0 } = first?.passage ?? {};
      expect(content(agentId).slice(start, end)).toContain(fact);
      const { results } = await suite.client.unifiedSearch({
        query: "Which key opens the vault of Marrakesh?",
        agentId,
      });
      expect(results[0]).toMatchObject({ memoryId: id, content: content(agentId) });
      expect((await suite.client.getMemory({ id })).memory?.content).toBe(content(agentId));
    }

    it("is found by it, given back whole, and deleted with every trace", async () => {
      const { id } = await storeAmongOthers("archivist");
      await expectFound("archivist", id);
      expect(await passageCount(id)).toBeGreaterThan(40);
      await suite.client.deleteMemory({ id });
      expect(await passageCount(id)).toBe(0);
      expect(await tablesThatHold(id, "archivist. The vault")).toEqual([]);
    }, 60_000);

    it("is found by it once embedding has come back, and by the new one when it changes", async () => {
      await suite.peers.stop("embedding");
      const { id } = await storeAmongOthers("librarian");
      expect(await passageCount(id)).toBe(0);
      await suite.peers.restart("embedding");
      await eventually(async () => {
        return (await suite.client.getMemory({ id })).embeddingState === EmbeddingState.READY;
      });
      await expectFound("librarian", id);
      const before = await passageCount(id);
      await suite.client.updateMemory({ memory: { id, metadata: { shelf: 4 } } });
      expect(await passageCount(id)).toBe(before);
      await suite.client.updateMemory({ memory: { id, content: `Short, without it. ${id}` } });
      expect(await passageCount(id)).toBe(0);
      await suite.client.deleteMemory({ id });
      expect(await tablesThatHold(id, "librarian. The vault")).toEqual([]);
    }, 60_000);
  });
});
