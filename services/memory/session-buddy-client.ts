import { createClient, type Transport } from "@connectrpc/connect";
import {
  Delivery,
  RecordKind,
  type Record as SessionBuddyRecord,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { outgoing } from "../../shared/rpc/call-context.ts";
import { domainErrorOf } from "../../shared/rpc/peer-errors.ts";
import { microsOf, unchanged } from "./convert.ts";
import type { PeerCall } from "./deadline.ts";
import type { JsonObject, MemoryType } from "./memory.ts";
import type { Bridge, CallerFilter, Hit, InsightToDeliver } from "./ports.ts";
import { namesField, protoFilterOf } from "./scope-filter-client.ts";

const dependency = "session-buddy";
const sourceSystem = "session-buddy";

/** What a record counts as; an entity of the knowledge graph is a thing worth keeping. */
const typeOfKind = new Map<RecordKind, MemoryType>([
  [RecordKind.REFLECTION, "insight"],
  [RecordKind.CONVERSATION, "agent"],
  [RecordKind.INSIGHT, "insight"],
  [RecordKind.ENTITY, "insight"],
]);

/** The bridge to Session-Buddy over RPC. */
export class SessionBuddyClient implements Bridge {
  readonly #client;

  constructor(transport: Transport) {
    this.#client = createClient(SessionBuddyService, transport);
  }

  canTest(filter: CallerFilter): boolean {
    return !namesField(protoFilterOf(filter), "vector");
  }

  async search(call: PeerCall, search: Parameters<Bridge["search"]>[1]) {
    const { query, vector, memoryTypes, project, filter, limit, minScore } = search;
    const kinds = [...typeOfKind]
      .filter(([, type]) => memoryTypes.includes(type))
      .map(([kind]) => kind);
    try {
      const answer = await this.#client.searchReflections(
        {
          query,
          project,
          limit,
          minScore,
          kinds,
          ...(filter === undefined ? {} : { filter: protoFilterOf(filter) }),
          ...(vector === undefined
            ? {}
            : { vector: { values: unchanged(vector.values) }, model: vector.model }),
        },
        outgoing(call),
      );
      const hits = answer.hits.flatMap(({ record, score, vectorScore, textScore }) =>
        record === undefined ? [] : [{ ...toHit(record), score, vectorScore, textScore }],
      );
      const why = answer.message === "" ? "may be behind Session-Buddy's file" : answer.message;
      return { hits, stale: answer.stale ? why : undefined };
    } catch (error) {
      throw domainErrorOf(error, dependency);
    }
  }

  async storeInsight(call: PeerCall, insight: InsightToDeliver, requestId: string) {
    try {
      const answer = await this.#client.storeInsight(
        {
          content: insight.content,
          insightType: insight.type,
          topics: [...insight.topics],
          project: insight.project,
          confidence: insight.confidence,
          quality: insight.quality,
          sourceConversationId: insight.conversationId,
          metadata: insight.metadata,
          requestId,
        },
        outgoing(call),
      );
      return { written: answer.delivery === Delivery.WRITTEN };
    } catch (error) {
      throw domainErrorOf(error, dependency);
    }
  }
}

function toHit(record: SessionBuddyRecord): Omit<Hit, "score" | "vectorScore" | "textScore"> {
  return {
    id: record.id,
    content: record.content,
    memoryType: typeOfKind.get(record.kind) ?? "insight",
    sourceSystem,
    agentId: "",
    workflowId: "",
    repoId: record.project,
    metadata: metadataOf(record),
    createTime: microsOf(record.createTime),
  };
}

/** Session-Buddy's own entries, and beside them what the record has as fields. */
function metadataOf(record: SessionBuddyRecord): JsonObject {
  const { tags, collection, insightType, confidence, era } = record;
  return {
    ...(record.metadata ?? {}),
    ...(tags.length === 0 ? {} : { tags }),
    ...(collection === "" ? {} : { collection }),
    ...(insightType === "" ? {} : { insight_type: insightType }),
    ...(confidence === undefined ? {} : { confidence }),
    ...(era === "" ? {} : { era }),
    kind: RecordKind[record.kind].toLowerCase(),
  };
}
