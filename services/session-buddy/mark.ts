import { contentHash } from "../../shared/hash.ts";
import type { Draft, JsonObject, JsonValue } from "./record.ts";
import { isJsonObject, parseMetadata } from "./stored-text.ts";

/** The one key of a record's metadata under which stands what is only ours. */
const key = "mahavishnu";

/** What tells a record of ours from Session-Buddy's own. */
export interface Mark {
  /** Whose record it is. Empty: everyone's, as all of Session-Buddy's own. */
  readonly tenant: string;
  /** Empty: none. */
  readonly requestId: string;
}

const unmarked: Mark = { tenant: "", requestId: "" };

/** The entry of the metadata that marks a draft's record. */
export function markFor(draft: Draft): JsonObject {
  return {
    [key]: {
      source_system: "mahavishnu",
      tenant: draft.tenant,
      content_hash: contentHash(draft.content),
      ...(draft.requestId === "" ? {} : { request_id: draft.requestId }),
      ...(draft.project === "" ? {} : { project: draft.project }),
    },
  };
}

/** The mark in metadata as stored. Most records have none, and theirs is not parsed. */
export function markOf(metadata: string): Mark {
  if (!metadata.includes(key)) return unmarked;
  const mark = parseMetadata(metadata)[key];
  return isJsonObject(mark)
    ? { tenant: text(mark["tenant"]), requestId: text(mark["request_id"]) }
    : unmarked;
}

/** What of the metadata is for callers. An entry of that name that is no mark stays. */
export function withoutMark(metadata: JsonObject): JsonObject {
  const { [key]: mark, ...others } = metadata;
  return isJsonObject(mark) ? others : metadata;
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
