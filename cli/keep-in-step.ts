import { realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { isLoopback } from "../shared/allowed-path.ts";
import { IngestionStatus } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { holderIn } from "./await-turn.ts";
import { Changes } from "./changes.ts";
import { CallFailure, targetOf } from "./connection.ts";
import { FolderWatch } from "./folder-watch.ts";
import { LostTouchError, mayPass, reasonOf } from "./follow-ingestion.ts";
import type { IngestOptions, IngestRequest } from "./ingest-request.ts";
import type { IngestionReporter } from "./ingestion-reporter.ts";
import { Interrupts } from "./interrupts.ts";
import { exitCodes } from "./output.ts";
import {
  type Call,
  createReporter,
  type IngestionClient,
  type RunEnd,
  type RunOptions,
  runIngestion,
} from "./run-ingestion.ts";

const firstPauseMs = 1_000;
const maxPauseMs = 30_000;
const maxPathsTold = 20;

/**
 * Ingests a folder, and again whenever something in it changes, until Ctrl-C. Changes that come
 * while a run is under way are one more run after it. A service that is away is waited for.
 */
export async function keepInStep(
  client: IngestionClient,
  call: Call,
  request: IngestRequest,
  options: IngestOptions,
): Promise<void> {
  const folder = await localFolder(request.path);
  const reporter = createReporter({
    json: options.json,
    title: `Ingesting ${folder} as ${request.repoId || basename(folder)}`,
    hint: "Ctrl-C cancels, and ends watching",
  });
  const patienceMs = options.reattach * 1000;
  const run: RunOptions = { client, call, reporter, patienceMs, atInterrupt: "cancel" };
  const changes = new Changes();
  const pause = new Pause();
  let failure: unknown;
  await using watch = await FolderWatch.open(folder, {
    include: request.include,
    exclude: request.exclude,
    onChange: (path) => {
      changes.add(path, performance.now());
      pause.wake();
    },
    onError: (error) => {
      failure ??= error;
      pause.wake();
    },
  });
  warnWhereElsewhere(reporter, folder);
  try {
    let attempts = 0;
    for (let runs = 0; ; ) {
      // Before the run, which finds what changed until the new watch was there.
      await watch.refresh();
      const paths = changes.take();
      const end = await step({ ...request, path: folder }, run);
      if (end === "again") {
        // The first run is due even where nothing has changed.
        changes.putBack(paths.size === 0 ? new Set([""]) : paths, performance.now());
        const waitMs = Math.min(maxPauseMs, firstPauseMs * 2 ** attempts++);
        if (await pause.until(() => waitMs, true)) return;
        continue;
      }
      attempts = 0;
      if (end.kind === "left" || end.interrupted) {
        process.exitCode = exitCodes.interrupted;
        if (end.kind === "ended") reporter.onStep(end.progress);
        return;
      }
      const { progress } = end;
      // Not by failures: a file that always fails would make every run look worth its while.
      const changedAnything = progress.chunksStored + progress.chunksDeleted > 0n;
      changes.ran(paths, changedAnything, performance.now());
      if (runs++ === 0) {
        reporter.onEnd(progress);
        const words = `Watching ${folder}; Ctrl-C ends it.`;
        reporter.onNote("watching", { path: folder }, words);
      } else reporter.onStep(progress);
      const interrupted = await pause.until(() => {
        if (failure !== undefined) return 0;
        const due = changes.dueAt();
        return due === undefined ? undefined : due - performance.now();
      });
      if (failure !== undefined) throw watchFailure(failure);
      if (interrupted) return;
      tellChanges(reporter, changes);
    }
  } finally {
    reporter.close();
  }
}

/** One run; "again" where it came to nothing for a reason that may pass. */
async function step(request: IngestRequest, run: RunOptions): Promise<RunEnd | "again"> {
  const { reporter } = run;
  try {
    const end = await runIngestion({ request }, run);
    if (end.kind === "left" || end.progress.status !== IngestionStatus.FAILED) return end;
    reporter.onStep(end.progress);
    return end.interrupted ? end : "again";
  } catch (error) {
    const other = holderIn(error);
    if (other !== undefined) return await afterOther(other, run);
    if (!(error instanceof LostTouchError) && !mayPass(error)) throw error;
    const reason = error instanceof LostTouchError ? error.reason : reasonOf(error);
    reporter.onNote("waiting", { reason }, `Waiting for the service: ${reason}.`);
    return "again";
  }
}

/** Perhaps a run of ours whose beginning was not told; it may have missed the newest changes. */
async function afterOther(ingestionId: string, run: RunOptions): Promise<RunEnd | "again"> {
  const words = `The repository is being ingested already (${ingestionId}); waiting for that.`;
  run.reporter.onNote("waiting", { ingestion_id: ingestionId }, words);
  const end = await runIngestion({ ingestionId }, { ...run, atInterrupt: "leave" }).catch(
    (error) => {
      if (error instanceof LostTouchError || mayPass(error)) return undefined;
      throw error;
    },
  );
  return end?.kind === "left" ? end : "again";
}

async function localFolder(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return await realpath(path);
  throw new CallFailure(
    "not_found",
    `not_found: ${path} is no folder of this machine; --watch needs one that the service sees, too`,
  );
}

function warnWhereElsewhere(reporter: IngestionReporter, folder: string): void {
  const { address } = targetOf("ingestion");
  if (isLoopback(address.slice(0, address.lastIndexOf(":")))) return;
  const words = `${address} may be another machine: changes of this one's ${folder} are watched, and that one's is ingested.`;
  reporter.onNote("elsewhere", { address }, words);
}

function tellChanges(reporter: IngestionReporter, changes: Changes): void {
  const paths = [...changes.paths].slice(0, maxPathsTold);
  const first = paths.slice(0, 3).join(", ");
  const words =
    changes.size > 3 ? `${first} and ${changes.size - 3} more changed` : `${first} changed`;
  reporter.onNote("changed", { count: changes.size, paths }, words);
}

function watchFailure(error: unknown): CallFailure {
  const { code, message } = error as NodeJS.ErrnoException;
  const hint =
    code === "ENOSPC" || code === "EMFILE"
      ? "; there are more folders than may be watched: raise fs.inotify.max_user_watches and max_user_instances, or leave some out with --exclude"
      : "";
  return new CallFailure("internal", `the folder can no longer be watched: ${message}${hint}`);
}

/** Waits until something is due, or Ctrl-C. */
class Pause {
  #wake: () => void = () => {};

  wake(): void {
    this.#wake();
  }

  /** `dueIn` is asked anew after each `wake`, unless `isFixed`. Resolves with whether Ctrl-C came. */
  async until(dueIn: () => number | undefined, isFixed = false): Promise<boolean> {
    let interrupted = false;
    const stop = Promise.withResolvers<void>();
    using _ = new Interrupts(() => {
      interrupted = true;
      stop.resolve();
    });
    while (!interrupted) {
      const ms = dueIn();
      if (ms !== undefined && ms <= 0) break;
      const woken = Promise.withResolvers<void>();
      if (!isFixed) this.#wake = woken.resolve;
      const timer = ms === undefined ? undefined : setTimeout(woken.resolve, ms);
      await Promise.race([woken.promise, stop.promise]);
      clearTimeout(timer);
      if (isFixed) break;
    }
    this.#wake = () => {};
    return interrupted;
  }
}
