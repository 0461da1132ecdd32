import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  MemoryService,
  type UnifiedSearchResponse,
} from "../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import {
  type SearchResult,
  Source,
  type SourceReport,
  SourceStatus,
} from "../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { MemoryType } from "../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { withClient } from "./connection.ts";
import { coloured, duration, excerpt, print, printJson } from "./output.ts";
import { renderTable } from "./table.ts";

export const memoryTypes = ["agent", "rag", "workflow", "insight"] as const;
export type MemoryTypeName = (typeof memoryTypes)[number];

export interface SearchOptions {
  readonly limit: number;
  readonly minScore: number;
  readonly type?: readonly MemoryTypeName[];
  readonly agent?: string;
  readonly repo?: string;
  readonly workflow?: string;
  readonly session?: string;
  readonly tenant?: string;
  readonly json?: boolean;
}

const typeByName = {
  agent: MemoryType.AGENT,
  rag: MemoryType.RAG,
  workflow: MemoryType.WORKFLOW,
  insight: MemoryType.INSIGHT,
} as const;

/** Asks all sources and prints one ranked table with a line for each source. */
export async function search(query: string, options: SearchOptions): Promise<void> {
  const response = await withClient(
    "memory",
    MemoryService,
    (client, call) =>
      client.unifiedSearch(
        {
          query,
          limit: options.limit,
          minScore: options.minScore,
          memoryTypes: (options.type ?? []).map((name) => typeByName[name]),
          agentId: options.agent ?? "",
          repoId: options.repo ?? "",
          workflowId: options.workflow ?? "",
          sessionId: options.session ?? "",
        },
        call({ timeoutMs: 5_000 }),
      ),
    options.tenant,
  );
  if (options.json) printJson(toJson(response));
  else printResponse(response);
}

function printResponse({ results, sourceReports }: UnifiedSearchResponse): void {
  if (results.length === 0) print("Nothing found.");
  else {
    const rows = results.map((one) => [
      one.score.toFixed(3),
      one.foundIn.map(sourceName).join(" + ") || sourceName(one.source),
      MemoryType[one.memoryType].toLowerCase(),
      origin(one),
      excerpt(one.content, 120),
    ]);
    print(renderTable(["score", "source", "type", "from", "content"], rows));
  }
  for (const report of sourceReports) print(describeReport(report));
}

/** Where a result belongs: a file and its lines, else repository, agent or workflow. */
function origin(result: SearchResult): string {
  const { file_path: path, start_line: start, end_line: end } = result.metadata ?? {};
  if (typeof path === "string") return `${path}:${start}-${end}`;
  return result.repoId || result.agentId || result.workflowId || result.sourceSystem;
}

function describeReport(report: SourceReport): string {
  const status = SourceStatus[report.status];
  const colour =
    report.status === SourceStatus.OK
      ? "green"
      : report.status === SourceStatus.FAILED
        ? "red"
        : "yellow";
  const latency = duration(report.latency?.seconds ?? 0n, report.latency?.nanos ?? 0);
  const message = report.message === "" ? "" : `: ${report.message}`;
  return `${sourceName(report.source)} ${coloured(colour, status)}, ${report.resultCount} in ${latency}${message}`;
}

function sourceName(source: Source): string {
  return Source[source].toLowerCase();
}

function toJson({ results, sourceReports }: UnifiedSearchResponse): unknown {
  return {
    results: results.map((one) => ({
      id: one.id,
      score: one.score,
      source: sourceName(one.source),
      found_in: one.foundIn.map(sourceName),
      memory_type: MemoryType[one.memoryType].toLowerCase(),
      content: one.content,
      source_system: one.sourceSystem,
      metadata: one.metadata ?? {},
      create_time: one.createTime === undefined ? null : timestampDate(one.createTime),
    })),
    source_reports: sourceReports.map((one) => ({
      source: sourceName(one.source),
      status: SourceStatus[one.status],
      result_count: one.resultCount,
      latency_ms: Number(one.latency?.seconds ?? 0n) * 1000 + (one.latency?.nanos ?? 0) / 1e6,
      message: one.message,
    })),
  };
}
