import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { CallOptions, Client } from "@connectrpc/connect";
import type { ItemError } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import type { FilterSchema } from "../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { Document } from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  type Hit,
  SearchMode,
  type VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { callPeer, failureOf } from "./peer-client.ts";
import type {
  NewPassage,
  Passage,
  PassageQuery,
  PassageStore,
  Replaced,
  Stored,
  Work,
} from "./ports.ts";

/** What this service's memories name as their origin. */
export const sourceSystem = "mahavishnu-ingestion";
const collection = "memories";
/** Bound of calls whose caller has none. */
const storeTimeoutMs = 60_000;
/** Ids of one deletion; the contract allows 10,000. */
const idsPerDeletion = 5_000;

type Filter = MessageInitShape<typeof FilterSchema>;

/** The vector store's collection of memories. */
export class GrpcPassageStore implements PassageStore {
  readonly #client: Client<typeof VectorStoreService>;

  constructor(client: Client<typeof VectorStoreService>) {
    this.#client = client;
  }

  async model(work: Work): Promise<string> {
    const answer = await this.#call(work, (options) =>
      this.#client.getCollection({ name: collection }, options),
    );
    return answer.collection?.embeddingModel ?? "";
  }

  async replace(
    work: Work,
    model: string,
    passages: readonly NewPassage[],
    deleteIds: readonly string[],
  ): Promise<Replaced> {
    if (passages.length === 0) {
      return { committed: true, stored: [], deleted: await this.delete(work, deleteIds) };
    }
    const documents = passages.map((passage) => ({
      id: passage.id,
      content: passage.content,
      // Of what the embedder answered: not copied once more.
      vector: { values: passage.vector as number[] },
      memoryType: MemoryType.RAG,
      sourceSystem,
      repoId: passage.repoId,
      dedupScope: passage.dedupScope,
      metadata: passage.metadata as JsonObject,
    }));
    const request = { collection, model, documents, deleteIds: [...deleteIds], allOrNothing: true };
    const { results, deletedCount } = await this.#call(work, (options) =>
      this.#client.upsertDocuments(request, options),
    );
    return {
      committed: results.every(({ error }) => error === undefined),
      stored: results.map(({ id, error }) => (error === undefined ? { id } : refusalOf(error))),
      deleted: Number(deletedCount),
    };
  }

  async delete(work: Work, ids: readonly string[]): Promise<number> {
    let deleted = 0;
    for (let at = 0; at < ids.length; at += idsPerDeletion) {
      const some = ids.slice(at, at + idsPerDeletion);
      const answer = await this.#call(work, (options) =>
        this.#client.deleteDocuments({ collection, ids: some }, options),
      );
      deleted += Number(answer.deletedCount);
    }
    return deleted;
  }

  async deleteRepository(work: Work, repoId: string): Promise<number> {
    const filter = ofRepository(repoId);
    const { deletedCount } = await this.#call(work, (options) =>
      this.#client.deleteDocuments({ collection, filter }, options),
    );
    return Number(deletedCount);
  }

  async count(work: Work, repoId: string): Promise<number> {
    const filter = ofRepository(repoId);
    const { count } = await this.#call(work, (options) =>
      this.#client.countDocuments({ collection, filter }, options),
    );
    return Number(count);
  }

  async search(work: Work, query: PassageQuery): Promise<readonly Passage[]> {
    const { embedding, text, limit, minScore } = query;
    const request = {
      collection,
      text,
      limit,
      minScore,
      filter: filterOf(query),
      ...(embedding === undefined
        ? { mode: SearchMode.TEXT }
        : {
            mode: SearchMode.HYBRID,
            vector: { values: [...embedding.vector] },
            model: embedding.model,
          }),
    };
    const { hits } = await this.#call(work, (options) => this.#client.search(request, options));
    return hits.flatMap((hit) =>
      hit.document === undefined ? [] : [passageOf(hit, hit.document)],
    );
  }

  #call<T>(work: Work, send: (options: CallOptions) => Promise<T>): Promise<T> {
    return callPeer("vector-store", work, storeTimeoutMs, send);
  }
}

/** A document that is refused since another one was is told so by ABORTED. */
function refusalOf(error: ItemError): Stored {
  const failure = failureOf(error);
  return { failure, follows: failure.kind === "aborted" && failure.reason === "CONFLICT" };
}

function ofRepository(repoId: string): Filter {
  return allOf([
    equals("memory_type", "rag"),
    equals("source_system", sourceSystem),
    equals("repo_id", repoId),
  ]);
}

function filterOf({ repoId, pathPrefix, language }: PassageQuery): Filter {
  const filters = [equals("memory_type", "rag")];
  if (repoId !== "") filters.push(equals("repo_id", repoId));
  if (pathPrefix !== "") filters.push(beginsWith("metadata.file_path", pathPrefix));
  if (language !== "") filters.push(equals("metadata.language", language));
  return allOf(filters);
}

function allOf(filters: Filter[]): Filter {
  return { node: { case: "allOf", value: { filters } } };
}

function equals(field: string, value: string): Filter {
  return {
    node: { case: "condition", value: { field, test: { case: "equals", value: text(value) } } },
  };
}

/** Text compares by code point, so that all texts with a prefix stand together. */
function beginsWith(field: string, prefix: string): Filter {
  const end = successorOf(prefix);
  const value = { gte: text(prefix), ...(end === undefined ? {} : { lt: text(end) }) };
  return { node: { case: "condition", value: { field, test: { case: "range", value } } } };
}

/** The first text after all texts with this prefix; undefined where there is none. */
export function successorOf(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue;
    // Surrogates are no characters.
    const next = last === 0xd7ff ? 0xe000 : last + 1;
    return String.fromCodePoint(...points, next);
  }
  return undefined;
}

function text(value: string) {
  return { kind: { case: "stringValue" as const, value } };
}

function passageOf(hit: Hit, document: Document): Passage {
  const metadata = document.metadata ?? {};
  return {
    id: document.id,
    content: document.content,
    contentHash: document.contentHash === "" ? document.id : document.contentHash,
    score: hit.score,
    repoId: document.repoId,
    filePath: textIn(metadata, "file_path"),
    startLine: lineIn(metadata, "start_line"),
    startColumn: lineIn(metadata, "start_column"),
    endLine: lineIn(metadata, "end_line"),
    language: textIn(metadata, "language"),
    index: indexIn(metadata),
    section: textIn(metadata, "section"),
    commit: textIn(metadata, "commit"),
    createTime: document.createTime === undefined ? undefined : timestampDate(document.createTime),
  };
}

/** Others may store `rag` memories too, with metadata of any shape. */
function textIn(metadata: JsonObject, key: string): string {
  const value = metadata[key];
  return typeof value === "string" ? value : "";
}

function lineIn(metadata: JsonObject, key: string): number {
  const value = metadata[key];
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 2 ** 31
    ? value
    : 0;
}

function indexIn(metadata: JsonObject): number {
  const value = metadata["chunk_index"];
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : -1;
}
