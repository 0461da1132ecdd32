import { basename, resolve } from "node:path";
import { IngestionStatus } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { CallFailure, withClient } from "./connection.ts";
import { type IngestOptions, type IngestRequest, requestOf } from "./ingest-request.ts";
import { keepInStep } from "./keep-in-step.ts";
import { exitCodes, print, printJsonLine } from "./output.ts";
import {
  type Call,
  createReporter,
  type IngestionClient,
  ingestionInTheWay,
  type RunEnd,
  runIngestion,
} from "./run-ingestion.ts";

/** Ingests a folder: once, once without waiting for it, or again whenever it changes. */
export async function ingest(path: string, options: IngestOptions): Promise<void> {
  const folder = resolve(path);
  const request = requestOf(folder, options);
  await withClient(
    "ingestion",
    IngestionService,
    async (client, call) => {
      if (options.watch) await keepInStep(client, call, request, options);
      else if (options.detach) await detach(client, call, request, options);
      else await once(client, call, request, options);
    },
    options.tenant,
  );
}

async function once(
  client: IngestionClient,
  call: Call,
  request: IngestRequest,
  options: IngestOptions,
): Promise<void> {
  const reporter = createReporter({
    json: options.json,
    title: `Ingesting ${request.path} as ${request.repoId || basename(request.path)}`,
    hint: "Ctrl-C cancels",
  });
  try {
    const patienceMs = options.reattach * 1000;
    const run = { client, call, reporter, patienceMs, atInterrupt: "cancel" } as const;
    const end = await runIngestion({ request }, run).catch(hintAtConflict);
    if (end.kind === "ended") reporter.onEnd(end.progress);
    process.exitCode = exitCodeOf(end);
  } finally {
    reporter.close();
  }
}

export function exitCodeOf(end: RunEnd): number {
  if (end.kind === "left") return exitCodes.interrupted;
  if (end.progress.status === IngestionStatus.COMPLETED) return exitCodes.ok;
  return end.interrupted ? exitCodes.interrupted : exitCodes.failure;
}

/** Starts it and leaves. */
async function detach(
  client: IngestionClient,
  call: Call,
  request: IngestRequest,
  { json }: IngestOptions,
): Promise<void> {
  const stream = client.ingestRepository({ ...request, detached: true }, call());
  const first = await firstOf(stream).catch(hintAtConflict);
  const id = first?.progress?.ingestionId ?? "";
  if (json) printJsonLine({ event: "detached", ingestion_id: id });
  else print(`Ingestion ${id} runs. Follow it with: npx mahavishnu ingestions watch ${id}`);
}

async function firstOf<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const one of stream) return one;
  return undefined;
}

function hintAtConflict(error: unknown): never {
  const id = ingestionInTheWay(error);
  if (id === undefined) throw error;
  const hint = `watch that one with: npx mahavishnu ingestions watch ${id}`;
  throw new CallFailure("aborted", `aborted: the repository is being ingested already; ${hint}`);
}
