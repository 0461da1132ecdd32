import { expect } from "vitest";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { describeWalks, embeddedMemory, textOf } from "../harness/fault-walk.ts";

describeWalks([
  {
    name: "StoreMemory while embedding is down",
    embeddingIsDown: true,
    async call(at) {
      const { embeddingState } = await at.client.storeMemory(
        { memory: { content: textOf(at), memoryType: MemoryType.RAG } },
        at.options,
      );
      expect(embeddingState).toBe(EmbeddingState.PENDING);
    },
    pieces: embeddedMemory,
  },
  {
    name: "StoreConversationTurn while embedding is down",
    embeddingIsDown: true,
    async call(at) {
      const { embeddingState } = await at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: textOf(at) },
        at.options,
      );
      expect(embeddingState).toBe(EmbeddingState.PENDING);
    },
    async pieces(at) {
      return {
        ...(await embeddedMemory(at)),
        turn: (await at.look.count("agent_conversations", "content = $2", textOf(at))) === 1,
      };
    },
  },
]);
