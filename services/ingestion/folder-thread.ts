import { parentPort } from "node:worker_threads";
import { DomainError } from "../../shared/errors.ts";
import { readCheckout } from "../../shared/files/git-checkout.ts";
import { chunkText } from "./chunking.ts";
import { skipText } from "./exclusions.ts";
import { fileErrorOf, isAbsent, lateSkipReason } from "./file-failures.ts";
import { readSourceFile, type SourceFile, textOf } from "./file-text.ts";
import type {
  FileToPlan,
  FolderAnswer,
  FolderOrder,
  FolderRequest,
  FoundPage,
  PlannedPage,
  PlanOutcome,
  SplitOrder,
} from "./folder-reader.ts";
import { lastingStamp, type PlannedChunk, type PlannedFile, planChunk } from "./planned-file.ts";
import { type WalkEvent, walkRepository } from "./repository-walk.ts";
import { maxExamples } from "./tally.ts";

/** Files of one page of a walk, and how long it may take to fill, so that others get their turn. */
const filesPerPage = 2_000;
const pageMs = 100;
const maxPathBytes = 1_024;

let order: FolderOrder | undefined;
let walk: Generator<WalkEvent> | undefined;
let turn: Promise<void> = Promise.resolve();

// One request after the other, in the order in which they came.
parentPort?.on("message", ({ id, request }: { id: number; request: FolderRequest }) => {
  turn = turn.then(async () => {
    try {
      parentPort?.postMessage({ id, answer: await answer(request) });
    } catch (error) {
      parentPort?.postMessage({ id, error });
    }
  });
});

async function answer(request: FolderRequest): Promise<FolderAnswer> {
  if (request.kind === "open") return open(request.order);
  if (request.kind === "split") return { chunks: await split(request.order) };
  if (order === undefined || walk === undefined) throw new Error("no folder is open");
  return request.kind === "walk" ? nextPage(walk) : planAll(order, request.files);
}

function open(next: FolderOrder): { readonly commit: string | undefined } {
  const { root, include, exclude, maxFileBytes } = next;
  const checkout = readCheckout(root);
  const rules = checkout?.rules;
  order = next;
  walk = walkRepository(root, {
    ...(rules === undefined ? {} : { rules }),
    include,
    exclude,
    maxFileBytes,
  });
  return { commit: checkout?.commit };
}

function nextPage(events: Generator<WalkEvent>): FoundPage {
  const until = performance.now() + pageMs;
  const paths: string[] = [];
  const stamps = new BigInt64Array(filesPerPage * 4);
  const skipped: Record<string, { count: number; examples: string[] }> = {};
  const failed: FoundPage["failed"][number][] = [];
  let done = false;
  while (paths.length < filesPerPage && performance.now() < until) {
    const next = events.next();
    if (next.done) {
      done = true;
      break;
    }
    const event = next.value;
    const { path } = event;
    if (event.kind === "skipped") {
      const same = skipped[event.reason] ?? { count: 0, examples: [] };
      skipped[event.reason] = same;
      if (same.count < maxExamples) same.examples.push(path);
      same.count++;
    } else if (event.kind === "failed") {
      if (!isAbsent(event.error)) failed.push({ path, error: fileErrorOf(path, event.error) });
    } else if (Buffer.byteLength(path) > maxPathBytes) {
      const error = new RangeError(`path is longer than ${maxPathBytes} bytes`);
      failed.push({ path, error: fileErrorOf(path, error) });
    } else {
      const { size, mtimeNs, ctimeNs, inode } = event.stamp;
      stamps.set([size, mtimeNs, ctimeNs, inode], paths.length * 4);
      paths.push(path);
    }
  }
  return { paths, stamps: stamps.slice(0, paths.length * 4), skipped, failed, done };
}

async function planAll(by: FolderOrder, files: readonly FileToPlan[]): Promise<PlannedPage> {
  const outcomes: PlanOutcome[] = [];
  let readMs = 0;
  const begun = performance.now();
  for (const file of files) {
    const since = performance.now();
    const read = readOne(by, file);
    readMs += performance.now() - since;
    outcomes.push("outcome" in read ? read.outcome : await planOne(by, read.source));
  }
  return { outcomes, readMs, splitMs: performance.now() - begun - readMs };
}

/** The file, or what is to be said of it where it is not to be split. */
function readOne(
  { root, maxFileBytes }: FolderOrder,
  { path, hash }: FileToPlan,
): { readonly source: SourceFile } | { readonly outcome: PlanOutcome } {
  try {
    const source = readSourceFile(root, path, maxFileBytes);
    if (source.hash !== hash) return { source };
    return { outcome: { kind: "unchanged", stamp: lastingStamp(source) } };
  } catch (error) {
    const reason = lateSkipReason(error);
    if (reason !== undefined) return { outcome: { kind: "skipped", reason } };
    if (isAbsent(error)) return { outcome: { kind: "absent" } };
    return { outcome: { kind: "failed", error: fileErrorOf(path, error), fault: undefined } };
  }
}

async function planOne(by: FolderOrder, source: SourceFile): Promise<PlanOutcome> {
  try {
    return { kind: "planned", file: await plan(by, source) };
  } catch (fault) {
    const error = fileErrorOf(source.path, fault);
    return { kind: "failed", error, fault: fault instanceof DomainError ? fault.message : fault };
  }
}

async function plan(
  { key, chunkSize, chunkOverlap }: FolderOrder,
  source: SourceFile,
): Promise<PlannedFile> {
  const { path, hash } = source;
  const stamp = lastingStamp(source);
  const same = { path, hash, stamp, metadata: {}, renewed: false, unknown: false };
  const found = textOf(source);
  if (found.kind === "skipped") {
    return { ...same, language: "", skipped: skipText(found), chunks: [] };
  }
  const { family, name } = found.language;
  const { text } = found;
  return {
    ...same,
    language: name,
    skipped: undefined,
    chunks: await split({ key, path, text, family, chunkSize, chunkOverlap }),
  };
}

async function split(order: SplitOrder): Promise<PlannedChunk[]> {
  const { key, path, text, family, chunkSize, chunkOverlap } = order;
  const chunks = await chunkText(text, { family, chunkSize, chunkOverlap });
  return chunks.map((chunk) => planChunk(key, path, chunk));
}
