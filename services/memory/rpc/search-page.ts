import { toJson } from "@bufbuild/protobuf";
import {
  type UnifiedSearchRequest,
  UnifiedSearchRequestSchema,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { contentHash } from "../../../shared/hash.ts";
import { canonicalJson } from "../canonical-json.ts";
import type { Place } from "../merge.ts";
import { type Source, sources } from "../sources.ts";
import type { PagePosition } from "../unified-search.ts";
import { invalidPageToken, parsePageToken, toPageToken } from "./fields.ts";

/** What makes requests pages of one search: all but where they begin. */
function fingerprintOf(request: UnifiedSearchRequest): string {
  const json = toJson(UnifiedSearchRequestSchema, { ...request, pageToken: "" });
  return contentHash(canonicalJson(json)).slice(0, 32);
}

function isOf(request: UnifiedSearchRequest, fingerprint: string): boolean {
  try {
    return fingerprint === fingerprintOf(request);
  } catch {
    // What is no JSON, such as a value that is not set, was never answered with a token.
    return false;
  }
}

/** The token that leads on behind the last result of a page. */
export function searchPageToken(
  request: UnifiedSearchRequest,
  { seen, after, now }: PagePosition,
): string {
  const { score, id, source } = after;
  const position = [seen, score, now].map(String);
  return toPageToken([fingerprintOf(request), ...position, id, source]);
}

/** Where the page of a request begins; undefined: at the start. Throws InvalidRequestError. */
export function parseSearchPage(request: UnifiedSearchRequest): PagePosition | undefined {
  const parts = parsePageToken(request.pageToken, 6);
  if (parts === undefined) return undefined;
  const [fingerprint, seen, score, now, id, source] = parts as [string, ...string[]];
  const position = {
    seen: Number(seen),
    now: Number(now),
    after: { score: Number(score), id: id ?? "", source: source as Source } satisfies Place,
  };
  const valid =
    isOf(request, fingerprint) &&
    Number.isInteger(position.seen) &&
    position.seen > 0 &&
    Number.isSafeInteger(position.now) &&
    Number.isFinite(position.after.score) &&
    sources.includes(position.after.source);
  if (!valid) throw invalidPageToken();
  return position;
}
