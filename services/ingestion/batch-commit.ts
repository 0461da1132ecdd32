import { sleep } from "../../shared/lifecycle.ts";
import type { HeldLease } from "./held-lease.ts";
import { dedupScopeOf, type FileEnd, type PlannedChunk, type PlannedFile } from "./planned-file.ts";
import type { Embedder, ItemFailure, NewPassage, PassageStore, Work } from "./ports.ts";
import type { StageClock } from "./stage-clock.ts";
import { StopRequest } from "./stop-request.ts";
import type { ChunkRef, FileChunks, FileStore, RepositoryKey } from "./store.ts";
import type { Tally } from "./tally.ts";

/** Passages of one write to the vector store, where several files share it. */
const passagesPerWrite = 256;
/** Passages of one write that a single file may need. */
const passagesPerRequest = 1_000;
/** Bytes of text and vectors in one call to a peer; messages hold 16 MiB. */
const bytesPerCall = 8 * 1024 * 1024;
/** Ids that one write may delete; beyond, the rest is deleted after it. */
const deletionsPerWrite = 10_000;
/** Of a SHA-256 in hex. */
const hashLength = 64;
/** How often to try again where another writer has the file, or was quicker. */
const maxRounds = 150;
const roundPauseMs = 250;

export interface BatchContext extends RepositoryKey {
  readonly ingestionId: string;
  readonly lease: Pick<HeldLease, "lease" | "assertHeld" | "remainingMs">;
  /** Whether a client sent the files. */
  readonly pushed: boolean;
  readonly model: string;
  readonly recipe: string;
  /** The commit that is checked out; undefined where there is none. */
  readonly commit: string | undefined;
  /** Texts of one call to the embedder. */
  readonly embedBatch: number;
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly files: FileStore;
  readonly tally: Tally;
  readonly clock: StageClock;
  /** Whether chunks that are known to be stored can be relied on. */
  readonly trusted: boolean;
  /** Ends the work before anything is written. */
  readonly signal: AbortSignal;
  /** Repeats a call while its failure may pass. */
  readonly patiently: <T>(attempt: () => Promise<T>) => Promise<T>;
  readonly onStored?: ((chunks: number) => void) | undefined;
  /** Called once for every file that has its end, and never where the whole batch fails. */
  readonly onDone: (file: PlannedFile, end: FileEnd) => void;
}

/** A file on its way: what it had, what it gets, and what went wrong. */
interface Passage {
  readonly file: PlannedFile;
  readonly before: FileChunks;
  /** Chunks that are not stored yet, or stored with other lines or in another order. */
  readonly fresh: readonly FreshChunk[];
  failure: ItemFailure | undefined;
}

interface FreshChunk {
  readonly chunk: PlannedChunk;
  vector: readonly number[];
  /** Under which id it is stored: its own, unless the store had the same text under another. */
  storedId: string;
}

/**
 * Embeds and stores files. A file is taken from other writers, and the ids of its new chunks are
 * recorded; one transaction of the vector store then writes those and deletes the old ones, so
 * that a reader sees what the file had or what it has; at last the file is recorded as done. Cut
 * short anywhere, the same work done again heals it. A file of which a chunk is refused fails alone
 * and keeps what it had. Cancelling is obeyed until the first write.
 */
export async function commitBatch(
  context: BatchContext,
  files: readonly PlannedFile[],
): Promise<void> {
  let pending = files;
  for (let round = 1; ; round++) {
    const batch = await openBatch(context, pending, round > 1);
    await context.clock.time("embed", () => embedFresh(context, batch));
    context.tally.embedded(pending);
    context.signal.throwIfAborted();
    for (const passage of batch) {
      if (passage.failure !== undefined) fail(context, passage, passage.failure);
    }
    const again: PlannedFile[] = [];
    for (const group of groupsOf(batch.filter(({ failure }) => failure === undefined))) {
      const late = await context.clock.time("store", () => commitGroup(context, group));
      again.push(...late.map(({ file }) => file));
    }
    if (again.length === 0) return;
    if (round === maxRounds) {
      for (const file of again) context.onDone(file, { failure: busyFailure });
      return;
    }
    pending = again;
    await sleep(roundPauseMs, context.signal);
  }
}

async function openBatch(
  context: BatchContext,
  files: readonly PlannedFile[],
  isLookedUp: boolean,
): Promise<Passage[]> {
  const paths = files.filter(({ unknown }) => isLookedUp || !unknown).map(({ path }) => path);
  const known =
    paths.length === 0
      ? new Map<string, FileChunks>()
      : await context.patiently(() => context.files.chunksOf(context, paths, context.signal));
  return files.map((file) => {
    const before = known.get(file.path) ?? { recipe: "", chunks: [], pendingIds: [] };
    const isKept = context.trusted && before.recipe === context.recipe;
    const kept = new Map(isKept ? before.chunks.map((chunk, at) => [chunk.id, { chunk, at }]) : []);
    const isStored = (chunk: PlannedChunk, at: number) => {
      const known = kept.get(chunk.id);
      return !file.renewed && known?.at === at && sameLines(known.chunk, chunk);
    };
    const fresh = file.chunks
      .filter((chunk, at) => !isStored(chunk, at))
      .map((chunk): FreshChunk => ({ chunk, vector: [], storedId: chunk.id }));
    return { file, before, fresh, failure: undefined };
  });
}

function sameLines(known: ChunkRef, chunk: ChunkRef): boolean {
  return known.startLine === chunk.startLine && known.endLine === chunk.endLine;
}

async function embedFresh(context: BatchContext, batch: readonly Passage[]): Promise<void> {
  const all = batch.flatMap((passage) => passage.fresh.map((one) => ({ passage, one })));
  const work = { tenant: context.tenant, signal: context.signal };
  for (const slice of slices(all, context.embedBatch, ({ one }) => textBytes(one))) {
    const texts = slice.map(({ one }) => one.chunk.content);
    const answers = await context.patiently(() =>
      context.embedder.embed(work, context.model, "search_document", texts),
    );
    slice.forEach(({ passage, one }, index) => {
      const answer = answers[index];
      if (answer === undefined) passage.failure ??= missingAnswer("the embedder");
      else if ("failure" in answer) passage.failure ??= answer.failure;
      else one.vector = answer.vector;
    });
  }
}

/** Files that one request of the vector store can hold together; a larger one stands alone. */
function groupsOf(batch: readonly Passage[]): Iterable<Passage[]> {
  return slices(
    batch,
    passagesPerWrite,
    ({ fresh }) => fresh.reduce((sum, one) => sum + textBytes(one) + one.vector.length * 4, 0),
    ({ fresh }) => fresh.length,
  );
}

/** Returns files that another writer has or has changed, to be looked at anew. */
async function commitGroup(
  context: BatchContext,
  group: readonly Passage[],
): Promise<readonly Passage[]> {
  const { taken, ready, late } = await take(context, group);
  if (ready.length === 0) return late;
  const refusals = await write(context, ready, taken);
  if (refusals.size === 0) {
    await recordDone(context, ready);
    return late;
  }
  // Nothing was written. The others do not wait for the bad ones.
  await context.patiently(() =>
    context.files.leave(
      context,
      writerOf(context),
      ready.map(({ file }) => file.path),
    ),
  );
  const stillLate = [...late];
  for (const passage of ready) {
    const failure = refusals.get(passage);
    if (failure !== undefined) fail(context, passage, failure);
    else stillLate.push(...(await commitGroup(context, [passage])));
  }
  return stillLate;
}

/** What is being written is written to its end, whoever cancels meanwhile. */
async function take(context: BatchContext, group: readonly Passage[]) {
  const wanted = group.map(({ file, fresh }) => ({
    path: file.path,
    ids: fresh.map(({ chunk }) => chunk.id),
  }));
  const taken = await context.patiently(() => {
    context.lease.assertHeld();
    return context.files.take(context, writerOf(context), wanted);
  });
  const isReady = ({ file, before }: Passage) => {
    const now = taken.get(file.path);
    return now !== undefined && sameChunks(before, now);
  };
  const late = group.filter((passage) => !isReady(passage));
  return { taken, ready: group.filter(isReady), late };
}

function sameChunks(before: FileChunks, now: FileChunks): boolean {
  return (
    before.recipe === now.recipe &&
    before.chunks.length === now.chunks.length &&
    before.chunks.every((chunk, index) => chunk.id === now.chunks[index]?.id)
  );
}

/** Writes and deletes; returns which files were refused, and then nothing of any is done. */
async function write(
  context: BatchContext,
  ready: readonly Passage[],
  taken: ReadonlyMap<string, FileChunks>,
): Promise<ReadonlyMap<Passage, ItemFailure>> {
  const leftovers = new Set(ready.flatMap((passage) => leftoversOf(passage, taken)));
  const deletions = [...leftovers];
  const all = ready.flatMap((passage) => passage.fresh.map((one) => ({ passage, one })));
  const refusals = new Map<Passage, ItemFailure>();
  const parts = [
    ...slices(all, passagesPerRequest, ({ one }) => textBytes(one) + one.vector.length * 4),
  ];
  for (const [index, slice] of parts.entries()) {
    // A file that fits into no single request shows its new chunks first and loses the old last.
    const isLast = index === parts.length - 1;
    const going = isLast ? deletions.splice(0, deletionsPerWrite) : [];
    const passages = slice.map(({ passage, one }) => newPassage(context, passage.file, one));
    const { committed, stored, deleted } = await context.patiently(() =>
      context.passages.replace(writing(context), context.model, passages, going),
    );
    context.tally.chunksDeleted += deleted;
    slice.forEach(({ passage, one }, at) => {
      const answer = stored[at];
      if (answer === undefined) refusals.set(passage, missingAnswer("the vector store"));
      else if ("id" in answer) one.storedId = answer.id;
      // The others of a request that failed are not to blame.
      else if (!answer.follows) refusals.set(passage, answer.failure);
    });
    if (!committed && refusals.size === 0) throw new Error("a write failed and nobody is to blame");
    if (refusals.size > 0) return refusals;
  }
  if (deletions.length > 0) {
    context.tally.chunksDeleted += await context.patiently(() =>
      context.passages.delete(writing(context), deletions),
    );
  }
  return refusals;
}

function leftoversOf({ file }: Passage, taken: ReadonlyMap<string, FileChunks>): string[] {
  const now = taken.get(file.path);
  const stays = new Set(file.chunks.map(({ id }) => id));
  const had = [...(now?.chunks.map(({ id }) => id) ?? []), ...(now?.pendingIds ?? [])];
  return had.filter((id) => !stays.has(id));
}

function newPassage(
  context: BatchContext,
  { path, hash, language, metadata }: PlannedFile,
  { chunk, vector }: FreshChunk,
): NewPassage {
  return {
    id: chunk.id,
    content: chunk.content,
    vector,
    repoId: context.repoId,
    dedupScope: dedupScopeOf(context, path),
    metadata: {
      ...metadata,
      file_path: path,
      start_line: chunk.startLine,
      start_column: chunk.startColumn,
      end_line: chunk.endLine,
      language,
      chunk_index: chunk.index,
      file_hash: hash.slice(0, hashLength),
      ingestion_id: context.ingestionId,
      ...(chunk.section === "" ? {} : { section: chunk.section }),
      ...(context.commit === undefined ? {} : { commit: context.commit }),
    },
  };
}

async function recordDone(context: BatchContext, done: readonly Passage[]): Promise<void> {
  const records = done.map(({ file, fresh }) => ({
    path: file.path,
    stamp: file.stamp,
    hash: file.hash,
    recipe: context.recipe,
    skipped: file.skipped,
    storedCount: fresh.length,
    chunks: refsOf(file, fresh),
  }));
  const completed = await context.patiently(() =>
    context.files.complete(context, writerOf(context), records),
  );
  if (completed < records.length) {
    throw new StopRequest("lost", "another process has taken its files over");
  }
  for (const { file, fresh } of done) {
    context.tally.advanced = true;
    context.onDone(file, {
      stored: fresh.length,
      unchanged: file.chunks.length - fresh.length,
    });
    context.onStored?.(fresh.length);
  }
}

function refsOf(file: PlannedFile, fresh: readonly FreshChunk[]): ChunkRef[] {
  const storedIds = new Map(fresh.map(({ chunk, storedId }) => [chunk.id, storedId]));
  return file.chunks.map(({ id, startLine, endLine }) => ({
    id: storedIds.get(id) ?? id,
    startLine,
    endLine,
  }));
}

function fail(context: BatchContext, { file }: Passage, failure: ItemFailure): void {
  context.onDone(file, { failure });
}

function writerOf({ ingestionId, lease, pushed }: BatchContext) {
  return { ingestionId, token: lease.lease.token, pushed };
}

/** Where the lease may run out before the answer, the write must not happen. */
function writing({ tenant, lease }: BatchContext): Work {
  lease.assertHeld();
  return { tenant, signal: new AbortController().signal, timeoutMs: lease.remainingMs() };
}

const busyFailure: ItemFailure = {
  kind: "aborted",
  reason: "CONFLICT",
  message: "others keep writing the same file",
};

function missingAnswer(who: string): ItemFailure {
  return { kind: "internal", reason: "INTERNAL", message: `${who} left this text unanswered` };
}

function textBytes({ chunk }: FreshChunk): number {
  return Buffer.byteLength(chunk.content);
}

/** Cuts a list by count and by bytes; a single item may be larger. */
function* slices<T>(
  items: readonly T[],
  most: number,
  bytesOf: (item: T) => number,
  countOf: (item: T) => number = () => 1,
): Generator<T[]> {
  let slice: T[] = [];
  let bytes = 0;
  let count = 0;
  for (const item of items) {
    const size = bytesOf(item);
    const number = countOf(item);
    if (slice.length > 0 && (count + number > most || bytes + size > bytesPerCall)) {
      yield slice;
      slice = [];
      bytes = 0;
      count = 0;
    }
    slice.push(item);
    bytes += size;
    count += number;
  }
  if (slice.length > 0) yield slice;
}
