import type { Duration } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { Violations } from "../../../shared/errors.ts";
import type { UnifiedSearchRequest } from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { SearchResultSchema } from "../../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { MemoryType as ProtoMemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { memoryTypeOf, sourceOf, toProtoReport, toProtoResult } from "../convert.ts";
import type { MemoryMetrics } from "../metrics.ts";
import type { SearchQuestion, UnifiedSearch } from "../unified-search.ts";
import { callOf } from "./call.ts";
import { bounds, checkText, parseCount, parseFilter } from "./fields.ts";
import { fitting } from "./fitting.ts";
import { parseSearchPage, searchPageToken } from "./search-page.ts";

/** A message has 16 MiB; the reports, and whatever is put around an answer, have room beside this. */
const mostResultBytes = 15 * 1024 * 1024 - 64 * 1024;
const mostContextTurns = 20;
/** The longest Duration of the contract. */
const mostSeconds = 315_576_000_000n;

export function searchHandlers(search: UnifiedSearch, metrics: MemoryMetrics) {
  return {
    async unifiedSearch(request: UnifiedSearchRequest, context: HandlerContext) {
      const question = parseQuestion(request);
      const answer = await metrics.searching(question.scope, () =>
        search.search(question, callOf(context)),
      );
      const results = fitting(
        SearchResultSchema,
        answer.results.map((found) => toProtoResult(found, { explain: request.explain })),
        mostResultBytes,
      );
      const last = answer.results[results.length - 1];
      const more = answer.more || results.length < answer.results.length;
      return {
        results,
        sourceReports: answer.reports.map(toProtoReport),
        nextPageToken:
          more && last !== undefined
            ? searchPageToken(request, {
                seen: (question.page?.seen ?? 0) + results.length,
                after: { score: last.score, id: last.id, source: last.source },
                now: answer.now,
              })
            : "",
      };
    },
  };
}

function parseQuestion(request: UnifiedSearchRequest): SearchQuestion {
  const violations = new Violations();
  const { agentId, repoId, workflowId, sessionId, minScore } = request;
  // Any text is safe, but no source can look for NUL; it parts words like a blank.
  const query = request.query.replaceAll("\0", " ");
  checkText(violations, "query", query, { min: 1, max: bounds.queryBytes });
  const memoryTypes = request.memoryTypes.map(memoryTypeOf);
  for (const [index, type] of request.memoryTypes.entries()) {
    const known = memoryTypes[index] !== undefined || type === ProtoMemoryType.UNSPECIFIED;
    violations.require(known, `memory_types[${index}]`, "must be a known type");
  }
  const sources = request.sources.map(sourceOf);
  for (const [index, source] of sources.entries()) {
    violations.require(source !== undefined, `sources[${index}]`, "must be a known source");
  }
  checkText(violations, "agent_id", agentId, { max: bounds.idBytes });
  checkText(violations, "repo_id", repoId, { max: bounds.idBytes });
  checkText(violations, "workflow_id", workflowId, { max: bounds.idBytes });
  checkText(violations, "session_id", sessionId, { max: bounds.idBytes });
  violations.require(minScore >= 0 && minScore <= 1, "min_score", "must be 0 to 1");
  const limit = parseCount(violations, "limit", request.limit, 10);
  const halfLifeMs = parseHalfLife(violations, request.recencyHalfLife);
  const { contextTurns } = request;
  violations.require(
    contextTurns >= 0 && contextTurns <= mostContextTurns,
    "context_turns",
    `must be 0 to ${mostContextTurns}`,
  );
  violations.throwIfAny();
  // UNSPECIFIED among the types means any.
  const any = request.memoryTypes.includes(ProtoMemoryType.UNSPECIFIED);
  return {
    query,
    scope: {
      memoryTypes: any ? [] : [...new Set(memoryTypes.filter((type) => type !== undefined))],
      agentId,
      repoId,
      workflowId,
      sessionId,
      filter: parseFilter(request.filter),
    },
    limit,
    minScore,
    sources: sources.filter((source) => source !== undefined),
    halfLifeMs,
    contextTurns,
    page: parseSearchPage(request),
  };
}

/** In milliseconds; undefined where age makes no difference. */
function parseHalfLife(violations: Violations, halfLife: Duration | undefined): number | undefined {
  if (halfLife === undefined) return undefined;
  const { seconds, nanos } = halfLife;
  const valid = seconds >= 1n && seconds <= mostSeconds && nanos >= 0 && nanos <= 999_999_999;
  violations.require(valid, "recency_half_life", "must be 1 s to 10,000 years");
  return Number(seconds) * 1_000 + nanos / 1_000_000;
}
