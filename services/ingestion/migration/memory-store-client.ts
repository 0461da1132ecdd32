import type { JsonObject } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  type Document,
  UpsertOutcome,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import type {
  UpsertResult,
  VectorStoreService,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { callPeer, failureOf } from "../peer-client.ts";
import type { Work } from "../ports.ts";
import type { EmbeddedMemory, MemoryTarget, StoredMemory, WriteOutcome } from "./memory-target.ts";

/** What migrated memories name as their origin. */
export const sourceSystem = "session-buddy";
const collection = "memories";
/** Bound of calls whose caller has none. */
const storeTimeoutMs = 60_000;

/** The vector store's collection of memories. */
export class GrpcMemoryTarget implements MemoryTarget {
  readonly #client: Client<typeof VectorStoreService>;

  constructor(client: Client<typeof VectorStoreService>) {
    this.#client = client;
  }

  async existing(work: Work, ids: readonly string[]): Promise<ReadonlyMap<string, StoredMemory>> {
    const { documents } = await this.#call(work, (options) =>
      this.#client.getDocuments({ collection, ids: [...ids] }, options),
    );
    return new Map(documents.map((document) => [document.id, toStored(document)]));
  }

  async write(
    work: Work,
    model: string,
    memories: readonly EmbeddedMemory[],
  ): Promise<readonly WriteOutcome[]> {
    const documents = memories.map((memory) => ({
      id: memory.id,
      content: memory.content,
      vector: { values: [...memory.vector] },
      memoryType: memory.memoryType === "agent" ? MemoryType.AGENT : MemoryType.INSIGHT,
      sourceSystem,
      repoId: memory.repoId,
      dedupScope: memory.dedupScope,
      metadata: memory.metadata as JsonObject,
      ...(memory.createMicros === undefined
        ? {}
        : { createTime: toTimestamp(memory.createMicros) }),
    }));
    const { results } = await this.#call(work, (options) =>
      this.#client.upsertDocuments({ collection, model, documents }, options),
    );
    return results.map(toOutcome);
  }

  async count(work: Work, migrationId: string): Promise<number> {
    const filter = {
      node: {
        case: "condition" as const,
        value: {
          field: "metadata.migration_id",
          test: {
            case: "equals" as const,
            value: { kind: { case: "stringValue" as const, value: migrationId } },
          },
        },
      },
    };
    const { count } = await this.#call(work, (options) =>
      this.#client.countDocuments({ collection, filter }, options),
    );
    return Number(count);
  }

  #call<T>(work: Work, send: (options: CallOptions) => Promise<T>): Promise<T> {
    return callPeer("vector-store", work, storeTimeoutMs, send);
  }
}

function toStored({ id, metadata = {} }: Document): StoredMemory {
  const textIn = (key: string) => {
    const value = metadata[key];
    return typeof value === "string" ? value : "";
  };
  return {
    id,
    migrationId: textIn("migration_id"),
    originId: textIn("origin_id"),
    era: textIn("era"),
  };
}

function toOutcome({ outcome, error }: UpsertResult): WriteOutcome {
  if (error !== undefined) return { kind: "refused", failure: failureOf(error) };
  return { kind: outcome === UpsertOutcome.DEDUPLICATED ? "deduplicated" : "stored" };
}

function toTimestamp(micros: bigint): { seconds: bigint; nanos: number } {
  const remainder = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return { seconds: (micros - remainder) / 1_000_000n, nanos: Number(remainder) * 1_000 };
}
