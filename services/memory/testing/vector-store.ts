import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { DomainError } from "../../../shared/errors.ts";
import { ErrorReason } from "../../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  type Document,
  DocumentSchema,
  UpsertOutcome,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  SearchMode,
  type SearchRequest,
  type UpdateDocumentRequest,
  VectorStoreService,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../../shared/hash.ts";
import { toConnectError } from "../../../shared/rpc/errors.ts";
import { tenantHeader } from "../../../shared/rpc/tenant.ts";

/**
 * Documents in this process, with the vector store's promises as far as its callers here rely on
 * them: de-duplication within a scope, one model per collection, tenants apart. Filters are
 * recorded, not applied; the real one is tried in test/integration.
 */
export class FakeVectorStore {
  readonly #documents = new Map<string, Document>();
  readonly searches: SearchRequest[] = [];
  /** The collection's model. */
  model = "";
  /** What `GetCollection` tells, where that is behind the truth. */
  toldModel: string | undefined;
  /** Whether writes are done though their callers never learn of it. */
  losesAnswers = false;
  /** Runs before every write. */
  beforeWrite: (vectorsOnly: boolean) => Promise<void> = async () => {};
  /** Runs before every search is answered. */
  beforeSearch: () => Promise<void> = async () => {};
  /** Of each write, whether it said so. */
  readonly idsWereNew: boolean[] = [];
  /** How many ids each read asked for. */
  readonly reads: number[] = [];
  /** How many documents one answer can carry. */
  mostRead = 1_000;
  /** Whether reading documents fails, and nothing else. */
  failsReads = false;
  /** Contents that a write refuses. */
  readonly refused = new Set<string>();
  /** Contents that another document is said to hold already. */
  readonly taken = new Set<string>();

  get(id: string, tenant = "default"): Document | undefined {
    return this.#documents.get(`${tenant}/${id}`);
  }

  remove(id: string, tenant = "default"): void {
    this.#documents.delete(`${tenant}/${id}`);
  }

  get all(): Document[] {
    return [...this.#documents.values()];
  }

  get size(): number {
    return this.#documents.size;
  }

  register(router: ConnectRouter, behave: (signal: AbortSignal) => Promise<void>): void {
    router.service(VectorStoreService, {
      getCollection: async (_, { signal }) => {
        await behave(signal);
        return { collection: { embeddingModel: this.toldModel ?? this.model } };
      },
      upsertDocuments: async (request, { signal, requestHeader }) => {
        const { documents, model, vectorsOnly } = request;
        this.idsWereNew.push(request.idsAreNew);
        await behave(signal);
        if (documents.some((document) => document.vector !== undefined)) this.#claim(model);
        const tenant = requestHeader.get(tenantHeader) ?? "";
        await this.beforeWrite(vectorsOnly);
        const results = documents.map((document) =>
          vectorsOnly ? this.#writeVector(tenant, document) : this.#upsert(tenant, document),
        );
        if (this.losesAnswers) throw new ConnectError("the connection broke", Code.Unavailable);
        return { results };
      },
      updateDocument: async (request, { signal, requestHeader }) => {
        await behave(signal);
        if (request.document?.vector !== undefined) this.#claim(request.model);
        const tenant = requestHeader.get(tenantHeader) ?? "";
        await this.beforeWrite(false);
        const document = this.#update(tenant, request);
        if (this.losesAnswers) throw new ConnectError("the connection broke", Code.Unavailable);
        return { document: shown(document, false), hasVector: document.vector !== undefined };
      },
      getDocuments: async ({ ids, includeVectors }, { signal, requestHeader }) => {
        await behave(signal);
        const tenant = requestHeader.get(tenantHeader) ?? "";
        this.reads.push(ids.length);
        if (this.failsReads) throw new ConnectError("the connection broke", Code.Unavailable);
        const documents = ids.flatMap((id) => this.get(id, tenant) ?? []);
        if (documents.length > this.mostRead) {
          const error = new DomainError("resource_exhausted", "MESSAGE_TOO_LARGE", "too large");
          throw toConnectError(error);
        }
        return { documents: documents.map((document) => shown(document, includeVectors)) };
      },
      listDocuments: async ({ pageSize }, { signal, requestHeader }) => {
        await behave(signal);
        return { documents: this.#of(requestHeader).slice(0, pageSize || 100) };
      },
      deleteDocuments: async ({ ids }, { signal, requestHeader }) => {
        await behave(signal);
        const tenant = requestHeader.get(tenantHeader) ?? "";
        const gone = ids.filter((id) => this.#documents.delete(`${tenant}/${id}`));
        return { deletedCount: BigInt(gone.length) };
      },
      search: async (request, { signal, requestHeader }) => {
        await behave(signal);
        const foreign = this.model !== "" && request.model !== this.model;
        if (request.vector !== undefined && foreign) throw mismatch();
        this.searches.push(request);
        await this.beforeSearch();
        const words = request.text.toLowerCase().split(/\W+/);
        const hits = this.#of(requestHeader).flatMap((document) => {
          const text = document.content.toLowerCase();
          const score = words.filter((word) => text.includes(word)).length / words.length;
          return score > 0 ? [{ document: shown(document, false), score, textScore: score }] : [];
        });
        hits.sort((a, b) => b.score - a.score);
        return { hits: hits.slice(0, request.limit || 10), mode: SearchMode.HYBRID };
      },
    });
  }

  #of(headers: Headers): Document[] {
    const prefix = `${headers.get(tenantHeader) ?? ""}/`;
    return [...this.#documents].flatMap(([key, document]) =>
      key.startsWith(prefix) ? [document] : [],
    );
  }

  #claim(model: string): void {
    if (this.model === "") this.model = model;
    if (this.model !== model) throw mismatch();
  }

  #writeVector(tenant: string, { id, content, vector, passages }: Document) {
    const document = this.get(id, tenant);
    if (document === undefined) {
      return { id, error: { code: 5, reason: ErrorReason.MEMORY_NOT_FOUND, message: "gone" } };
    }
    if (document.content !== content) {
      return { id, error: { code: 10, reason: ErrorReason.CONFLICT, message: "changed" } };
    }
    if (vector !== undefined) Object.assign(document, { vector, passages });
    return { id, outcome: UpsertOutcome.UPDATED };
  }

  #update(tenant: string, { document, updateMask, ifUpdateTime }: UpdateDocumentRequest): Document {
    const known = this.get(document?.id ?? "", tenant);
    if (known === undefined || document === undefined) {
      throw toConnectError(new DomainError("not_found", "MEMORY_NOT_FOUND", "gone"));
    }
    const { seconds, nanos } = known.updateTime ?? {};
    if (
      ifUpdateTime &&
      (ifUpdateTime.seconds !== seconds || ifUpdateTime.nanos !== micros(nanos))
    ) {
      throw toConnectError(new DomainError("aborted", "CONFLICT", "written meanwhile"));
    }
    if (this.taken.has(document.content)) {
      const facts = { facts: { id: "the other" } };
      throw toConnectError(new DomainError("already_exists", "DUPLICATE_CONTENT", "taken", facts));
    }
    const paths = updateMask?.paths ?? [];
    if (paths.includes("content")) {
      known.content = document.content;
      known.contentHash = contentHash(document.content);
      delete known.vector;
      known.passages = [];
    }
    if (paths.includes("vector") && document.vector) {
      known.vector = document.vector;
      known.passages = document.passages;
    }
    if (paths.includes("metadata") && document.metadata) known.metadata = document.metadata;
    if (paths.includes("expire_time")) {
      if (document.expireTime) known.expireTime = document.expireTime;
      else delete known.expireTime;
    }
    known.updateTime = timestampNow();
    return known;
  }

  #upsert(tenant: string, given: Document) {
    if (this.refused.has(given.content)) {
      const error = { code: 3, reason: ErrorReason.INVALID_FIELD, message: "refused" };
      return { id: given.id, error };
    }
    if (this.taken.has(given.content)) {
      const error = { code: 6, reason: ErrorReason.DUPLICATE_CONTENT, message: "taken" };
      return { id: given.id, error };
    }
    const hash = contentHash(given.content);
    const known = this.get(given.id, tenant);
    const twin = [...this.#documents].find(
      ([key, one]) =>
        key.startsWith(`${tenant}/`) &&
        one.id !== given.id &&
        one.contentHash === hash &&
        scopeOf(one) === scopeOf(given),
    )?.[1];
    if (known === undefined && twin !== undefined) {
      if (twin.vector === undefined && given.vector !== undefined) {
        twin.vector = given.vector;
        twin.passages = given.passages;
      }
      return { id: twin.id, outcome: UpsertOutcome.DEDUPLICATED };
    }
    const now = timestampNow();
    this.#documents.set(
      `${tenant}/${given.id}`,
      create(DocumentSchema, {
        ...given,
        contentHash: hash,
        createTime: known?.createTime ?? given.createTime ?? now,
        updateTime: now,
      }),
    );
    return {
      id: given.id,
      outcome: known === undefined ? UpsertOutcome.CREATED : UpsertOutcome.UPDATED,
    };
  }
}

/** What our side keeps of a time. */
function micros(nanos = 0): number {
  return Math.trunc(nanos / 1_000) * 1_000;
}

function scopeOf({ dedupScope, memoryType, agentId, workflowId, repoId }: Document): string {
  return dedupScope || JSON.stringify([MemoryType[memoryType], agentId, workflowId, repoId]);
}

function shown(document: Document, includeVectors: boolean): Document {
  const { vector, dedupScope: _, passages: __, ...rest } = document;
  return { ...rest, dedupScope: "", passages: [], ...(includeVectors && vector ? { vector } : {}) };
}

function mismatch() {
  return toConnectError(
    new DomainError("failed_precondition", "MODEL_MISMATCH", "another model", {}),
  );
}
