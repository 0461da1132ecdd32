import type { LimitFunction } from "p-limit";
import type { Embedder, ItemFailure, Work } from "../ports.ts";
import type { EmbeddedMemory, MemoryTarget, StoredMemory } from "./memory-target.ts";
import type { Outcome, Result } from "./migration-tally.ts";
import type { RecordBatch } from "./record-reader.ts";
import type { SourceRecord } from "./source-record.ts";
import { type TargetMemory, toMemory } from "./target-memory.ts";

/** What the embedder and the vector store take. */
const mostContentBytes = 1_048_576;

export interface CopyContext {
  readonly tenant: string;
  /** "" in a dry run: nothing is embedded or written. */
  readonly migrationId: string;
  readonly model: string;
  /** Texts of one call to the embedder. */
  readonly embedBatch: number;
  readonly embedder: Embedder;
  /** So many batches embed at the same time; others are looked up and written meanwhile. */
  readonly embedding: LimitFunction;
  readonly target: MemoryTarget;
  /**
   * Ids that batches of this migration are storing just now; in a dry run all that they would have
   * stored. What is stored is found in the target.
   */
  readonly claimed: Set<string>;
  /** Ends the work before anything is written. */
  readonly signal: AbortSignal;
  /** Throws where the migration may be another process's by now: nothing is written then. */
  readonly assertHeld: () => void;
  /** Repeats a call while its failure may pass. */
  readonly patiently: <T>(attempt: () => Promise<T>) => Promise<T>;
}

/** A record on its way. */
interface Passage {
  readonly record: SourceRecord;
  readonly memory: TargetMemory;
  /** Undefined while it is under way. */
  result: Result | undefined;
  failure: ItemFailure | undefined;
}

/**
 * Embeds and stores the records of a batch that are not stored yet. Done again after it was cut
 * short anywhere, it comes to the same outcomes. Throws where a peer could not be asked.
 */
export async function copyBatch(context: CopyContext, batch: RecordBatch): Promise<Outcome[]> {
  const passages = batch.records.map((record) => openPassage(context, record));
  const claims = passages.filter(({ result }) => result === undefined);
  try {
    await findStored(context, claims);
    if (context.migrationId === "") for (const one of underWay(claims)) one.result = "migrated";
    const embedded = await embed(context, underWay(claims));
    context.signal.throwIfAborted();
    await write(context, embedded);
  } finally {
    if (context.migrationId !== "") {
      for (const { memory } of claims) context.claimed.delete(memory.id);
    }
  }
  return [...passages.flatMap(outcomesOf), ...batch.faults.map(faultOutcome)];
}

function openPassage({ claimed, migrationId }: CopyContext, record: SourceRecord): Passage {
  const memory = toMemory(record, migrationId);
  const problem = problemOf(memory);
  if (problem !== undefined) return failed({ record, memory }, problem);
  // What is being stored for another record of the same text is not stored twice.
  if (claimed.has(memory.id)) {
    return { record, memory, result: "deduplicated", failure: undefined };
  }
  claimed.add(memory.id);
  return { record, memory, result: undefined, failure: undefined };
}

function problemOf({ content }: TargetMemory): ItemFailure | undefined {
  const refuse = (message: string) =>
    ({ kind: "invalid_argument", reason: "INVALID_FIELD", message }) as const;
  if (content.trim() === "") return refuse("content is blank");
  if (Buffer.byteLength(content) > mostContentBytes) return refuse("content has more than 1 MiB");
  return undefined;
}

function failed(passage: Pick<Passage, "record" | "memory">, failure: ItemFailure): Passage {
  return { ...passage, result: "failed", failure };
}

async function findStored(context: CopyContext, claims: readonly Passage[]): Promise<void> {
  if (claims.length === 0) return;
  const ids = claims.map(({ memory }) => memory.id);
  const found = await context.patiently(() =>
    context.target.existing(workOf(context, context.signal), ids),
  );
  for (const passage of claims) {
    const stored = found.get(passage.memory.id);
    if (stored === undefined) continue;
    passage.result = isOwn(context, passage.record, stored) ? "migrated" : "deduplicated";
  }
}

function underWay(passages: readonly Passage[]): Passage[] {
  return passages.filter(({ result }) => result === undefined);
}

function workOf({ tenant }: CopyContext, signal: AbortSignal): Work {
  return { tenant, signal };
}

function missingAnswer(who: string): ItemFailure {
  return { kind: "internal", reason: "INTERNAL", message: `${who} left this text unanswered` };
}

/** Stored by this very migration, whose checkpoint was not moved any more when it was cut short. */
function isOwn({ migrationId }: CopyContext, record: SourceRecord, stored: StoredMemory): boolean {
  return (
    migrationId !== "" &&
    stored.migrationId === migrationId &&
    stored.originId === record.id &&
    stored.era === record.era
  );
}

interface EmbeddedPassage {
  readonly passage: Passage;
  readonly memory: EmbeddedMemory;
}

async function embed(
  context: CopyContext,
  passages: readonly Passage[],
): Promise<EmbeddedPassage[]> {
  if (passages.length === 0) return [];
  return await context.embedding(() => {
    context.signal.throwIfAborted();
    return embedNow(context, passages);
  });
}

async function embedNow(
  context: CopyContext,
  passages: readonly Passage[],
): Promise<EmbeddedPassage[]> {
  const embedded: EmbeddedPassage[] = [];
  for (let at = 0; at < passages.length; at += context.embedBatch) {
    const some = passages.slice(at, at + context.embedBatch);
    const texts = some.map(({ memory }) => memory.content);
    const answers = await context.patiently(() =>
      context.embedder.embed(
        workOf(context, context.signal),
        context.model,
        "search_document",
        texts,
      ),
    );
    some.forEach((passage, index) => {
      const answer = answers[index] ?? { failure: missingAnswer("the embedder") };
      if ("failure" in answer) {
        passage.result = "failed";
        passage.failure = answer.failure;
      } else {
        embedded.push({ passage, memory: { ...passage.memory, vector: answer.vector } });
      }
    });
  }
  return embedded;
}

async function write(context: CopyContext, embedded: readonly EmbeddedPassage[]): Promise<void> {
  if (embedded.length === 0) return;
  const memories = embedded.map(({ memory }) => memory);
  // What is being written is written to its end, whoever cancels meanwhile.
  const outcomes = await context.patiently(() => {
    context.assertHeld();
    return context.target.write(
      workOf(context, new AbortController().signal),
      context.model,
      memories,
    );
  });
  embedded.forEach(({ passage }, index) => {
    const outcome = outcomes[index] ?? {
      kind: "refused",
      failure: missingAnswer("the vector store"),
    };
    if (outcome.kind === "refused") {
      passage.result = "failed";
      passage.failure = outcome.failure;
    } else {
      passage.result = outcome.kind === "stored" ? "migrated" : "deduplicated";
    }
  });
}

/** Of the record itself, and of the rows that it stands for. */
function outcomesOf({ record, result, failure }: Passage): Outcome[] {
  if (result === undefined) throw new Error("a record was left under way");
  const { kind } = record;
  const rows = [{ id: record.id, era: record.era }, ...record.folded];
  return rows.map(({ id, era }, index) => ({
    recordId: id,
    kind,
    era,
    result: result === "migrated" && index > 0 ? "deduplicated" : result,
    failure,
  }));
}

function faultOutcome({ id, kind, era, reason }: RecordBatch["faults"][number]): Outcome {
  const failure = { kind: "invalid_argument", reason: "INVALID_FIELD", message: reason } as const;
  return { recordId: id, kind, era, result: "failed", failure };
}
