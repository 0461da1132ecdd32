import { markFor } from "./mark.ts";
import type { Draft, JsonObject } from "./record.ts";

/** Session-Buddy's insight search reads quality_score; what is only ours stands under one key. */
export function metadataOf(draft: Draft): JsonObject {
  const insight: JsonObject =
    draft.insight === undefined
      ? {}
      : {
          quality_score: draft.insight.quality,
          source_conversation_id: draft.insight.sourceConversationId || null,
          source_reflection_id: null,
        };
  return {
    ...draft.metadata,
    ...insight,
    ...markFor(draft),
  };
}
