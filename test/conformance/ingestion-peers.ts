import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import type { Filter } from "../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import {
  type Document,
  DocumentSchema,
  UpsertOutcome,
} from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  type SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { FakeBridge } from "./migration-peers.ts";

/** Called before a method answers; throws in its place, or waits. */
export type Hook = () => void | Promise<void>;
export type EmbedHook = (texts: readonly string[]) => void | Promise<void>;

/** Peers that fail when told to. Their answers are thin; the real ones stand in integration tests. */
export class FakePeers {
  /** What the vector store holds, by tenant and id. */
  readonly documents = new Map<string, Document>();
  readonly calls = { embed: 0, embeddedTexts: 0, upsert: 0, delete: 0 };
  model = "";
  defaultModel = "fake-model";
  serving = true;
  onEmbed: EmbedHook = () => {};
  onUpsert: Hook = () => {};
  onDelete: Hook = () => {};
  onSearch: Hook = () => {};
  /** Texts that the embedder refuses. */
  refuses: (text: string) => boolean = () => false;
  /** Documents that the vector store refuses. */
  refusesDocument: (document: Document) => boolean = () => false;
  /** What of a question's text the search looks for. */
  words: (text: string) => string = (text) => text;
  /** Session-Buddy's records. */
  readonly bridge = new FakeBridge();
  lastSearch: { mode: SearchMode; filter: Filter | undefined } | undefined;

  readonly transport = createRouterTransport((router) => {
    const { service } = router;
    this.bridge.register(router);
    service(Health, {
      check: () => ({
        status: this.serving
          ? HealthCheckResponse_ServingStatus.SERVING
          : HealthCheckResponse_ServingStatus.NOT_SERVING,
      }),
    });
    service(EmbeddingService, {
      listModels: () => ({ models: [{ name: this.defaultModel, isDefault: true, ready: true }] }),
      embed: async ({ model, texts, task }) => {
        await this.onEmbed(texts);
        if (task === EmbeddingTask.SEARCH_DOCUMENT) {
          this.calls.embed++;
          this.calls.embeddedTexts += texts.length;
        }
        const embeddings = texts.map((text) => ({
          result: this.refuses(text)
            ? {
                case: "error" as const,
                value: { code: 3, reason: ErrorReason.EMBEDDING_FAILED, message: "refused" },
              }
            : { case: "vector" as const, value: { values: [text.length, 1, 0] } },
        }));
        return { model, dimension: 3, embeddings };
      },
    });
    service(VectorStoreService, {
      getCollection: () => ({ collection: { name: "memories", embeddingModel: this.model } }),
      upsertDocuments: async ({ documents, model, deleteIds }, { requestHeader }) => {
        await this.onUpsert();
        this.calls.upsert++;
        this.model ||= model;
        if (model !== this.model) throw new ConnectError("other model", Code.FailedPrecondition);
        const tenant = tenantIn(requestHeader);
        const gone = deleteIds.filter((id) => this.documents.delete(`${tenant}/${id}`));
        return {
          deletedCount: BigInt(gone.length),
          results: documents.map((document) => {
            const key = `${tenant}/${document.id}`;
            if (this.refusesDocument(document)) {
              const error = { code: 3, reason: ErrorReason.INVALID_FIELD, message: "refused" };
              return { id: document.id, error };
            }
            const outcome = this.documents.has(key) ? UpsertOutcome.UPDATED : UpsertOutcome.CREATED;
            this.documents.set(key, { ...document, contentHash: contentHash(document.content) });
            return { id: document.id, outcome };
          }),
        };
      },
      getDocuments: ({ ids }, { requestHeader }) => {
        const tenant = tenantIn(requestHeader);
        return { documents: ids.flatMap((id) => this.documents.get(`${tenant}/${id}`) ?? []) };
      },
      deleteDocuments: async ({ ids, filter }, { requestHeader }) => {
        await this.onDelete();
        this.calls.delete++;
        const tenant = tenantIn(requestHeader);
        let deleted = 0;
        for (const [key, document] of this.documents) {
          if (!key.startsWith(`${tenant}/`)) continue;
          const meant =
            filter === undefined ? ids.includes(document.id) : matches(document, filter);
          if (meant && this.documents.delete(key)) deleted++;
        }
        return { deletedCount: BigInt(deleted) };
      },
      countDocuments: ({ filter }, { requestHeader }) => {
        const tenant = tenantIn(requestHeader);
        const all = [...this.documents].filter(
          ([key, document]) =>
            key.startsWith(`${tenant}/`) && (filter === undefined || matches(document, filter)),
        );
        return { count: BigInt(all.length) };
      },
      search: async ({ text, filter, limit, mode }, { requestHeader }) => {
        await this.onSearch();
        this.lastSearch = { mode, filter };
        const tenant = tenantIn(requestHeader);
        const hits = [...this.documents]
          .filter(([key]) => key.startsWith(`${tenant}/`))
          .map(([, document]) => document)
          .filter((document) => filter === undefined || matches(document, filter))
          .filter(({ content }) => content.includes(this.words(text)))
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit)
          .map((document) => ({ document, score: 0.5 }));
        return { hits, mode };
      },
    });
  });

  /** Stores a document as somebody else would. */
  put(tenant: string, document: MessageInitShape<typeof DocumentSchema> & { id: string }): void {
    this.documents.set(`${tenant}/${document.id}`, create(DocumentSchema, document));
  }

  /** What is stored of a file, by line. */
  storedOf(filePath: string): MessageInitShape<typeof DocumentSchema>[] {
    return [...this.documents.values()]
      .filter(({ metadata }) => metadata?.["file_path"] === filePath)
      .sort((a, b) => Number(a.metadata?.["start_line"]) - Number(b.metadata?.["start_line"]));
  }
}

export function unavailable(): never {
  throw new ConnectError("is down", Code.Unavailable);
}

function tenantIn(headers: Headers): string {
  return headers.get("x-mahavishnu-tenant") ?? "default";
}

/** As much of the filter language as ingestion speaks. */
function matches(document: Document, { node }: Filter): boolean {
  if (node.case === "allOf") return node.value.filters.every((one) => matches(document, one));
  if (node.case !== "condition") throw new Error(`unexpected filter ${node.case}`);
  const { field, test } = node.value;
  const actual = fieldOf(document, field);
  if (test.case === "equals") return actual === textOf(test.value.kind);
  if (test.case !== "range" || typeof actual !== "string") return false;
  const { gte, lt } = test.value;
  const from = textOf(gte?.kind);
  const to = textOf(lt?.kind);
  return (from === undefined || actual >= from) && (to === undefined || actual < to);
}

function textOf(kind: { case?: string | undefined; value?: unknown } | undefined) {
  return kind?.case === "stringValue" ? String(kind.value) : undefined;
}

function fieldOf(document: Document, field: string): unknown {
  if (field.startsWith("metadata.")) return document.metadata?.[field.slice("metadata.".length)];
  if (field === "memory_type")
    return ["", "agent", "rag", "workflow", "insight"][document.memoryType];
  if (field === "source_system") return document.sourceSystem;
  if (field === "repo_id") return document.repoId;
  throw new Error(`unexpected field ${field}`);
}
