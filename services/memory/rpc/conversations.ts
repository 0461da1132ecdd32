import type { HandlerContext } from "@connectrpc/connect";
import { Violations } from "../../../shared/errors.ts";
import type {
  ListConversationTurnsRequest,
  StoreConversationTurnRequest,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import type { Conversations, TurnToStore } from "../conversations.ts";
import {
  microsOf,
  roleOf,
  toProtoEmbeddingState,
  toProtoInsight,
  toProtoTurn,
} from "../convert.ts";
import { checkJson } from "../json-checks.ts";
import type { MemoryMetrics } from "../metrics.ts";
import type { RequestKey } from "../operation-store.ts";
import { callOf } from "./call.ts";
import {
  bounds,
  checkText,
  checkTimestamp,
  invalidPageToken,
  parseCount,
  parsePageToken,
  toPageToken,
} from "./fields.ts";
import { checkRequestId, requestKey } from "./memories.ts";

export function conversationHandlers(conversations: Conversations, metrics: MemoryMetrics) {
  return {
    async storeConversationTurn(request: StoreConversationTurnRequest, context: HandlerContext) {
      const { told, key } = parseTurn(request);
      const { turn, embedding, insights } = await metrics.storing("agent", 1, () =>
        conversations.store(callOf(context), told, key),
      );
      return {
        turn: toProtoTurn(turn),
        memoryId: turn.memoryId,
        insights: insights.map(toProtoInsight),
        embeddingState: toProtoEmbeddingState(embedding),
      };
    },

    async listConversationTurns(request: ListConversationTurnsRequest, context: HandlerContext) {
      const query = parseList(request);
      // One more than asked for tells whether another page follows.
      const turns = await conversations.list(callOf(context), { ...query, limit: query.limit + 1 });
      const page = turns.slice(0, query.limit);
      const last = page.at(-1);
      return {
        turns: page.map(toProtoTurn),
        nextPageToken:
          turns.length > page.length && last !== undefined
            ? toPageToken([last.sequence.toString()])
            : "",
      };
    },
  };
}

function parseTurn(request: StoreConversationTurnRequest): {
  told: TurnToStore;
  key: RequestKey | undefined;
} {
  const violations = new Violations();
  const { agentId, sessionId, content, repoId, requestId } = request;
  const metadata = request.metadata ?? {};
  const role = roleOf(request.role);
  checkText(violations, "agent_id", agentId, { min: 1, max: bounds.idBytes });
  checkText(violations, "session_id", sessionId, { min: 1, max: bounds.idBytes });
  violations.require(role !== undefined, "role", "must be USER or ASSISTANT");
  checkText(violations, "content", content, { min: 1, max: bounds.contentBytes });
  checkJson(violations, "metadata", metadata, bounds.metadataBytes);
  checkRequestId(violations, requestId);
  checkText(violations, "repo_id", repoId, { max: bounds.idBytes });
  checkTimestamp(violations, "create_time", request.createTime);
  violations.throwIfAny();
  const createTime = microsOf(request.createTime);
  const told = { agentId, sessionId, role: role ?? "user", content, metadata, repoId, createTime };
  return { told, key: requestKey("StoreConversationTurn", requestId, told) };
}

function parseList(request: ListConversationTurnsRequest) {
  const violations = new Violations();
  const { sessionId, agentId } = request;
  checkText(violations, "session_id", sessionId, { min: 1, max: bounds.idBytes });
  checkText(violations, "agent_id", agentId, { max: bounds.idBytes });
  const limit = parseCount(violations, "page_size", request.pageSize, 100);
  violations.throwIfAny();
  const after = parsePageToken(request.pageToken, 1)?.[0] ?? "0";
  if (!/^\d{1,18}$/.test(after)) throw invalidPageToken();
  return { sessionId, agentId, limit, afterSequence: BigInt(after) };
}
