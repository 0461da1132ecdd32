import {
  type Ingestion,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { withClient } from "./connection.ts";
import { exitCodeOf } from "./ingest.ts";
import { type StatusName, statusName } from "./ingestion-names.ts";
import { printSummary } from "./ingestion-summary.ts";
import { ingestionJson } from "./json-reporter.ts";
import { count, duration, print, printJson, timeOf } from "./output.ts";
import { createReporter, runIngestion } from "./run-ingestion.ts";
import { renderTable } from "./table.ts";

interface CommonOptions {
  readonly tenant?: string;
  readonly json?: boolean;
}

export interface ListOptions extends CommonOptions {
  readonly repo?: string;
  readonly status?: StatusName;
  readonly limit: number;
}

const maxPage = 1_000;
const timeoutMs = 10_000;

/** Lists ingestions, newest first. */
export async function listIngestions(options: ListOptions): Promise<void> {
  const status =
    options.status === undefined
      ? IngestionStatus.UNSPECIFIED
      : IngestionStatus[options.status.toUpperCase() as keyof typeof IngestionStatus];
  const found = await withClient(
    "ingestion",
    IngestionService,
    async (client, call) => {
      const ingestions: Ingestion[] = [];
      let pageToken = "";
      do {
        const pageSize = Math.min(maxPage, options.limit - ingestions.length);
        const request = { repoId: options.repo ?? "", status, pageSize, pageToken };
        const page = await client.listIngestions(request, call({ timeoutMs }));
        ingestions.push(...page.ingestions);
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && ingestions.length < options.limit);
      return { ingestions, more: pageToken !== "" };
    },
    options.tenant,
  );
  if (options.json) {
    printJson({ ingestions: found.ingestions.map(ingestionJson), more: found.more });
    return;
  }
  if (found.ingestions.length === 0) print("No ingestions.");
  else
    print(
      renderTable(
        ["id", "repository", "status", "created", "took", "files", "chunks"],
        rows(found.ingestions),
      ),
    );
  if (found.more) print("There are more; ask with a higher --limit.");
}

function rows(ingestions: readonly Ingestion[]): string[][] {
  return ingestions.map(({ id, repoId, status, createTime, progress }) => {
    const { filesDone = 0n, filesTotal = 0n, chunksStored = 0n, elapsed } = progress ?? {};
    return [
      id,
      repoId,
      statusName(status),
      (timeOf(createTime) ?? "").slice(0, 19).replace("T", " "),
      duration(elapsed?.seconds ?? 0n, elapsed?.nanos ?? 0),
      `${count(filesDone)}/${count(filesTotal)}`,
      count(chunksStored),
    ];
  });
}

/** Shows one ingestion as the service knows it now. */
export async function showIngestion(ingestionId: string, options: CommonOptions): Promise<void> {
  const { ingestion } = await withClient(
    "ingestion",
    IngestionService,
    (client, call) => client.getIngestion({ ingestionId }, call({ timeoutMs })),
    options.tenant,
  );
  if (ingestion !== undefined) printIngestion(ingestion, options);
}

/** Stops an ingestion and waits until it has ended. */
export async function cancelIngestion(ingestionId: string, options: CommonOptions): Promise<void> {
  const { ingestion } = await withClient(
    "ingestion",
    IngestionService,
    (client, call) => client.cancelIngestion({ ingestionId }, call()),
    options.tenant,
  );
  if (ingestion !== undefined) printIngestion(ingestion, options);
}

function printIngestion(ingestion: Ingestion, { json }: CommonOptions): void {
  if (json) {
    printJson(ingestionJson(ingestion));
    return;
  }
  const { repoId, path, createTime, progress } = ingestion;
  print(
    `Repository ${repoId}, ${path === "" ? "documents from a stream" : path}, asked for at ${timeOf(createTime)}.`,
  );
  if (progress !== undefined) printSummary(progress);
}

export interface WatchOptions extends CommonOptions {
  /** Seconds. */
  readonly reattach: number;
}

/** Follows an ingestion, whoever began it, until it ends. Ctrl-C leaves it alone. */
export async function watchIngestion(ingestionId: string, options: WatchOptions): Promise<void> {
  const reporter = createReporter({
    json: options.json,
    title: `Ingestion ${ingestionId}`,
    hint: "Ctrl-C leaves; the ingestion goes on",
  });
  try {
    const end = await withClient(
      "ingestion",
      IngestionService,
      (client, call) =>
        runIngestion(
          { ingestionId },
          { client, call, reporter, patienceMs: options.reattach * 1000, atInterrupt: "leave" },
        ),
      options.tenant,
    );
    if (end.kind === "ended") reporter.onEnd(end.progress);
    process.exitCode = exitCodeOf(end);
  } finally {
    reporter.close();
  }
}
