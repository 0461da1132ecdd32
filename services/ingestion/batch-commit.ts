import type { Tally } from "./ingestion.ts";
import { dedupScopeOf, type PlannedChunk, type PlannedFile } from "./planned-file.ts";
import type { Embedder, ItemFailure, NewPassage, PassageStore, Work } from "./ports.ts";
import type { ChunkRef, FileChunks, IngestionStore, RepositoryKey } from "./store.ts";

/** Passages of one write to the vector store. */
const passagesPerWrite = 256;
/** Bytes of text in one call to a peer; messages hold 16 MiB, vectors included. */
const bytesPerCall = 4 * 1024 * 1024;

export interface BatchContext extends RepositoryKey {
  readonly ingestionId: string;
  readonly model: string;
  readonly recipe: string;
  /** The commit that is checked out; undefined where there is none. */
  readonly commit: string | undefined;
  /** Texts of one call to the embedder. */
  readonly embedBatch: number;
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly store: IngestionStore;
  readonly tally: Tally;
  /** Whether chunks that this file had under this recipe may be taken as stored. */
  readonly keeps: (path: string) => boolean;
  /** Ends the work before anything is written. */
  readonly signal: AbortSignal;
  /** Repeats a call while its failure may pass. */
  readonly patiently: <T>(attempt: () => Promise<T>) => Promise<T>;
  readonly onStored?: ((chunks: number) => void) | undefined;
}

/** A file on its way: what it had, what it gets, and what went wrong. */
interface Passage {
  readonly file: PlannedFile;
  readonly before: FileChunks;
  /** Chunks that are not stored yet, or stored with other lines. */
  readonly fresh: readonly PlannedChunk[];
  /** Under which id a chunk is stored, by its own id. */
  readonly storedIds: Map<string, string>;
  failure: ItemFailure | undefined;
}

interface FreshChunk {
  readonly passage: Passage;
  readonly chunk: PlannedChunk;
  vector: readonly number[];
}

/**
 * Embeds and stores files, in this order: ids are announced, new chunks stored, old ones deleted,
 * the files recorded as done. Cut short anywhere, the same work done again heals it; a reader
 * never misses a passage that the file had and has. A file with a chunk that is refused fails
 * alone and keeps what it had. Cancelling is obeyed until the first write.
 */
export async function commitBatch(
  context: BatchContext,
  files: readonly PlannedFile[],
): Promise<void> {
  const batch = await openBatch(context, files);
  const fresh = await embedFresh(context, batch);
  context.signal.throwIfAborted();
  await announce(context, batch);
  await writeFresh(context, fresh);
  await deleteLeftovers(context, batch);
  await recordDone(context, batch);
}

async function openBatch(context: BatchContext, files: readonly PlannedFile[]): Promise<Passage[]> {
  const paths = files.map(({ path }) => path);
  const known = await context.patiently(() =>
    context.store.chunksOf(context, paths, context.signal),
  );
  return files.map((file) => {
    const before = known.get(file.path) ?? { chunks: [], pendingIds: [] };
    const kept = new Map(
      context.keeps(file.path) ? before.chunks.map((chunk) => [chunk.id, chunk]) : [],
    );
    const fresh = file.chunks.filter((chunk) => !sameLines(kept.get(chunk.id), chunk));
    return { file, before, fresh, storedIds: new Map<string, string>(), failure: undefined };
  });
}

function sameLines(known: ChunkRef | undefined, chunk: ChunkRef): boolean {
  return known?.startLine === chunk.startLine && known.endLine === chunk.endLine;
}

async function embedFresh(context: BatchContext, batch: readonly Passage[]): Promise<FreshChunk[]> {
  const all = batch.flatMap((passage) =>
    passage.fresh.map((chunk): FreshChunk => ({ passage, chunk, vector: [] })),
  );
  for (const slice of slices(all, context.embedBatch)) {
    const texts = slice.map(({ chunk }) => chunk.content);
    const answers = await context.patiently(() =>
      context.embedder.embed(
        workOf(context, context.signal),
        context.model,
        "search_document",
        texts,
      ),
    );
    slice.forEach((one, index) => {
      const answer = answers[index];
      if (answer === undefined) one.passage.failure ??= missingAnswer("the embedder");
      else if ("failure" in answer) one.passage.failure ??= answer.failure;
      else one.vector = answer.vector;
    });
  }
  return all;
}

async function announce(context: BatchContext, batch: readonly Passage[]): Promise<void> {
  const files = succeeding(batch)
    .filter(({ fresh }) => fresh.length > 0)
    .map(({ file, fresh }) => ({ path: file.path, ids: fresh.map(({ id }) => id) }));
  if (files.length > 0) await context.patiently(() => context.store.announce(context, files));
}

async function writeFresh(context: BatchContext, fresh: readonly FreshChunk[]): Promise<void> {
  const writable = fresh.filter(({ passage }) => passage.failure === undefined);
  for (const slice of slices(writable, passagesPerWrite)) {
    const passages = slice.map((one) => newPassage(context, one));
    const answers = await context.patiently(() =>
      context.passages.upsert(workOf(context), context.model, passages),
    );
    slice.forEach(({ passage, chunk }, index) => {
      const answer = answers[index];
      if (answer === undefined) passage.failure ??= missingAnswer("the vector store");
      else if ("failure" in answer) passage.failure ??= answer.failure;
      else passage.storedIds.set(chunk.id, answer.id);
    });
  }
}

function newPassage(context: BatchContext, { passage, chunk, vector }: FreshChunk): NewPassage {
  const { path, hash, language, chunks } = passage.file;
  return {
    id: chunk.id,
    content: chunk.content,
    vector,
    repoId: context.repoId,
    dedupScope: dedupScopeOf(context, path),
    metadata: {
      file_path: path,
      start_line: chunk.startLine,
      end_line: chunk.endLine,
      language,
      chunk_index: chunks.indexOf(chunk),
      file_hash: hash,
      ingestion_id: context.ingestionId,
      ...(context.commit === undefined ? {} : { commit: context.commit }),
    },
  };
}

async function deleteLeftovers(context: BatchContext, batch: readonly Passage[]): Promise<void> {
  const leftovers: string[] = [];
  for (const passage of batch) {
    const { before, storedIds, failure } = passage;
    const had = before.chunks.map(({ id }) => id);
    if (failure === undefined) {
      const has = new Set(refsOf(passage).map(({ id }) => id));
      leftovers.push(...[...had, ...before.pendingIds].filter((id) => !has.has(id)));
    } else {
      // Part of a file is worse than what was there before.
      leftovers.push(...[...storedIds.values()].filter((id) => !had.includes(id)));
    }
  }
  if (leftovers.length === 0) return;
  const deleted = await context.patiently(() =>
    context.passages.delete(workOf(context), [...new Set(leftovers)]),
  );
  context.tally.chunksDeleted += deleted;
}

async function recordDone(context: BatchContext, batch: readonly Passage[]): Promise<void> {
  const done = succeeding(batch).map((passage) => ({
    path: passage.file.path,
    stamp: passage.file.stamp,
    hash: passage.file.hash,
    recipe: context.recipe,
    skipped: passage.file.skipped,
    chunks: refsOf(passage),
  }));
  if (done.length > 0) {
    await context.patiently(() => context.store.complete(context, context.ingestionId, done));
  }
  const { tally } = context;
  for (const { file, fresh, failure } of batch) {
    tally.filesDone++;
    if (failure !== undefined) {
      tally.fail({ path: file.path, ...failure });
      continue;
    }
    if (file.skipped !== undefined) tally.skip(file.skipped);
    tally.chunksStored += fresh.length;
    tally.chunksUnchanged += file.chunks.length - fresh.length;
    context.onStored?.(fresh.length);
  }
}

function refsOf({ file, storedIds }: Passage): ChunkRef[] {
  return file.chunks.map(({ id, startLine, endLine }) => ({
    id: storedIds.get(id) ?? id,
    startLine,
    endLine,
  }));
}

function succeeding(batch: readonly Passage[]): readonly Passage[] {
  return batch.filter(({ failure }) => failure === undefined);
}

/** What is being written is written to its end, whoever cancels meanwhile. */
function workOf({ tenant }: BatchContext, signal = new AbortController().signal): Work {
  return { tenant, signal };
}

function missingAnswer(who: string): ItemFailure {
  return { kind: "internal", reason: "INTERNAL", message: `${who} left this text unanswered` };
}

/** Cuts a list by count and by bytes of content; a single item may be larger. */
function* slices(items: readonly FreshChunk[], count: number): Generator<FreshChunk[]> {
  let slice: FreshChunk[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = Buffer.byteLength(item.chunk.content);
    if (slice.length > 0 && (slice.length >= count || bytes + size > bytesPerCall)) {
      yield slice;
      slice = [];
      bytes = 0;
    }
    slice.push(item);
    bytes += size;
  }
  if (slice.length > 0) yield slice;
}
