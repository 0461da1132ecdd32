import { insightMemoryId } from "./content-identity.ts";
import { extractInsights, type FoundInsight } from "./insight-extraction.ts";
import { type NewMemory, ownSourceSystem } from "./memory.ts";
import type { InsightToDeliver } from "./ports.ts";

/** An insight of a text together with what is stored of it. */
export interface InsightOfText {
  readonly found: FoundInsight;
  /** The memory of type insight that holds it; equal insights of a tenant have the same id. */
  readonly memory: NewMemory;
  readonly delivery: InsightToDeliver;
}

/** What became of an insight. Undefined: sharing with Session-Buddy is switched off. */
export type InsightDeliveryState = "delivered" | "queued" | undefined;

/** An insight of a stored text and what became of it. */
export interface ToldInsight extends InsightOfText {
  readonly deliveryState: InsightDeliveryState;
}

/** The insights that a memory's content tells, in order. */
export function insightsOf(source: NewMemory): InsightOfText[] {
  return extractInsights(source.content).map((found) => {
    const sessionId = source.metadata["session_id"];
    const session = typeof sessionId === "string" ? sessionId : "";
    const { type, topics, confidence, quality } = found;
    const memory: NewMemory = {
      id: insightMemoryId(found.content),
      content: found.content,
      memoryType: "insight",
      sourceSystem: ownSourceSystem,
      agentId: source.agentId,
      workflowId: source.workflowId,
      repoId: source.repoId,
      metadata: {
        insight_type: type,
        topics: [...topics],
        confidence,
        quality,
        source_memory_id: source.id,
        ...(session === "" ? {} : { session_id: session }),
      },
      createTime: source.createTime,
      expireTime: undefined,
      dedupScope: `insight:${insightMemoryId(found.content)}`,
    };
    return { found, memory, delivery: toDelivery(memory, found, session) };
  });
}

function toDelivery(memory: NewMemory, found: FoundInsight, session: string): InsightToDeliver {
  return {
    memoryId: memory.id,
    content: found.content,
    type: found.type,
    topics: found.topics,
    confidence: found.confidence,
    quality: found.quality,
    project: memory.repoId,
    conversationId: session,
    metadata: {
      mahavishnu_memory_id: memory.id,
      ...(memory.agentId === "" ? {} : { agent_id: memory.agentId }),
      ...(memory.workflowId === "" ? {} : { workflow_id: memory.workflowId }),
    },
  };
}
