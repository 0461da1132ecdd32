import { basename, resolve } from "node:path";
import { IngestionStatus } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { awaitTurn, holderIn } from "./await-turn.ts";
import { CallFailure, withClient } from "./connection.ts";
import { type IngestOptions, type IngestRequest, requestOf } from "./ingest-request.ts";
import { keepInStep } from "./keep-in-step.ts";
import { exitCodes, note, print, printJsonLine } from "./output.ts";
import {
  type Call,
  createReporter,
  type IngestionClient,
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
    const end = await awaitTurn(
      () => runIngestion({ request }, run),
      options.wait * 1000,
      ({ id, secondsLeft }) => {
        const facts = { ingestion_id: id, seconds_left: secondsLeft };
        reporter.onNote("waiting", facts, waitingWords(id, secondsLeft));
      },
    ).catch(hintAtConflict);
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
  { json, wait }: IngestOptions,
): Promise<void> {
  const begin = () => firstOf(client.ingestRepository({ ...request, detached: true }, call()));
  const first = await awaitTurn(begin, wait * 1000, ({ id, secondsLeft }) => {
    if (!json) return note(waitingWords(id, secondsLeft));
    printJsonLine({ event: "waiting", ingestion_id: id, seconds_left: secondsLeft });
  }).catch(hintAtConflict);
  const id = first?.progress?.ingestionId ?? "";
  if (json) printJsonLine({ event: "detached", ingestion_id: id });
  else print(`Ingestion ${id} runs. Follow it with: npx mahavishnu ingestions watch ${id}`);
}

async function firstOf<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const one of stream) return one;
  return undefined;
}

function waitingWords(id: string, secondsLeft: number): string {
  return `Waiting up to ${secondsLeft} s: ${id} holds the repository. If its process has died, others take it over within the time of a lease. Watch it with: npx mahavishnu ingestions watch ${id}`;
}

function hintAtConflict(error: unknown): never {
  const id = holderIn(error);
  if (id === undefined) throw error;
  const hint = `watch that one with: npx mahavishnu ingestions watch ${id}`;
  throw new CallFailure("aborted", `aborted: the repository is being ingested already; ${hint}`);
}
