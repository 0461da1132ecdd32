import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { DomainError, type ErrorKind, type ErrorReasonName } from "../../shared/errors.ts";
import { ErrorReason, type ItemError } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import type { Filter } from "../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import {
  type Document,
  type DocumentSchema,
  UpsertOutcome,
} from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  SearchMode,
  type UpsertResult,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { outgoing } from "../../shared/rpc/call-context.ts";
import { codeOfKind } from "../../shared/rpc/errors.ts";
import { domainErrorOf } from "../../shared/rpc/peer-errors.ts";
import { memoryTypeOf, microsOf, toProtoMemoryType, toTimestamp, unchanged } from "./convert.ts";
import type { PeerCall } from "./deadline.ts";
import type { MemoryType, StoredMemory } from "./memory.ts";
import type {
  CallerFilter,
  ContentVector,
  DocumentChange,
  DocumentOutcome,
  Documents,
  DocumentWrite,
  Hit,
  VectorWrite,
} from "./ports.ts";
import { toProtoFilter } from "./scope-filter-client.ts";

const collection = "memories";
const dependency = "vector-store";

/** The collection `memories` of the vector store over RPC. */
export class VectorStoreClient implements Documents {
  readonly #client;

  constructor(transport: Transport) {
    this.#client = createClient(VectorStoreService, transport);
  }

  async embeddingModel(call: PeerCall): Promise<string> {
    const answer = await told(this.#client.getCollection({ name: collection }, outgoing(call)));
    return answer.collection?.embeddingModel ?? "";
  }

  async upsert(
    call: PeerCall,
    documents: readonly DocumentWrite[],
    model: string,
    { idsAreNew }: { readonly idsAreNew: boolean } = { idsAreNew: false },
  ): Promise<DocumentOutcome[]> {
    const request = { collection, documents: documents.map(toProtoDocument), model, idsAreNew };
    const { results } = await told(this.#client.upsertDocuments(request, outgoing(call)));
    if (results.length !== documents.length) throw garbled();
    return results.map(toOutcome);
  }

  async writeVectors(
    call: PeerCall,
    vectors: readonly VectorWrite[],
    model: string,
  ): Promise<DocumentOutcome[]> {
    const documents = vectors.map(({ id, content, vector }) => ({
      id,
      content,
      ...vectorFields(vector),
    }));
    const request = { collection, documents, model, vectorsOnly: true };
    const { results } = await told(this.#client.upsertDocuments(request, outgoing(call)));
    if (results.length !== vectors.length) throw garbled();
    return results.map(toOutcome);
  }

  async change(call: PeerCall, change: DocumentChange, model: string): Promise<StoredMemory> {
    const { id, content, vector, metadata, expireTime, ifUpdateTime } = change;
    const paths = ["metadata", "expire_time"];
    if (content !== undefined) paths.push("content");
    if (vector !== undefined) paths.push("vector");
    const request = {
      collection,
      document: {
        id,
        metadata,
        ...(content === undefined ? {} : { content }),
        ...(vector === undefined ? {} : vectorFields(vector)),
        ...(expireTime === undefined ? {} : { expireTime: toTimestamp(expireTime) }),
      },
      updateMask: { paths },
      model,
      ...(ifUpdateTime === undefined ? {} : { ifUpdateTime: toTimestamp(ifUpdateTime) }),
    };
    const answer = await told(this.#client.updateDocument(request, outgoing(call)));
    if (answer.document === undefined) throw garbled();
    return { ...toStoredMemory(answer.document), hasVector: answer.hasVector };
  }

  async get(
    call: PeerCall,
    ids: readonly string[],
    { tellVectors = false }: { readonly tellVectors?: boolean } = {},
  ): Promise<StoredMemory[]> {
    const request = { collection, ids: [...ids], includeVectors: tellVectors };
    const { documents } = await told(this.#client.getDocuments(request, outgoing(call)));
    return documents.map(toStoredMemory);
  }

  async list(call: PeerCall, page: Parameters<Documents["list"]>[1]) {
    const { filter, pageSize, pageToken, orderBy } = page;
    const request = { collection, pageSize, pageToken, orderBy, ...withFilter(filter) };
    const answer = await told(this.#client.listDocuments(request, outgoing(call)));
    return {
      memories: answer.documents.map(toStoredMemory),
      nextPageToken: answer.nextPageToken,
    };
  }

  async delete(call: PeerCall, ids: readonly string[]): Promise<number> {
    const request = { collection, ids: [...ids] };
    const answer = await told(this.#client.deleteDocuments(request, outgoing(call)));
    return Number(answer.deletedCount);
  }

  async search(call: PeerCall, search: Parameters<Documents["search"]>[1]): Promise<Hit[]> {
    const { text, vector, scope, limit, minScore } = search;
    const filter = toProtoFilter(scope);
    const request = {
      collection,
      text,
      limit,
      minScore,
      mode: vector === undefined ? SearchMode.TEXT : SearchMode.HYBRID,
      ...(vector === undefined
        ? {}
        : { vector: { values: unchanged(vector.values) }, model: vector.model }),
      ...(filter === undefined ? {} : { filter }),
    };
    const { hits } = await told(this.#client.search(request, outgoing(call)));
    return hits.flatMap(({ document, score, vectorScore, textScore }) =>
      document === undefined
        ? []
        : [{ ...toStoredMemory(document), score, vectorScore, textScore }],
    );
  }
}

function withFilter(filter: CallerFilter | undefined): { filter?: Filter } {
  return filter === undefined ? {} : { filter: filter as unknown as Filter };
}

async function told<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw domainErrorOf(error, dependency);
  }
}

function garbled(): DomainError {
  return new DomainError("internal", "INTERNAL", "vector-store gave a garbled answer");
}

function vectorFields({ values, passages }: ContentVector) {
  return {
    vector: { values: unchanged(values) },
    passages: passages.map((one) => ({
      vector: { values: unchanged(one.values) },
      range: { start: one.start, end: one.end },
    })),
  };
}

function toProtoDocument({
  memory,
  vector,
}: DocumentWrite): MessageInitShape<typeof DocumentSchema> {
  const { createTime, expireTime } = memory;
  return {
    id: memory.id,
    content: memory.content,
    memoryType: toProtoMemoryType(memory.memoryType),
    sourceSystem: memory.sourceSystem,
    agentId: memory.agentId,
    workflowId: memory.workflowId,
    repoId: memory.repoId,
    metadata: memory.metadata,
    dedupScope: memory.dedupScope,
    ...(vector === undefined ? {} : vectorFields(vector)),
    ...(createTime === undefined ? {} : { createTime: toTimestamp(createTime) }),
    ...(expireTime === undefined ? {} : { expireTime: toTimestamp(expireTime) }),
  };
}

function toStoredMemory(document: Document): StoredMemory {
  return {
    id: document.id,
    content: document.content,
    memoryType: knownType(memoryTypeOf(document.memoryType)),
    sourceSystem: document.sourceSystem,
    agentId: document.agentId,
    workflowId: document.workflowId,
    repoId: document.repoId,
    metadata: document.metadata ?? {},
    createTime: microsOf(document.createTime),
    expireTime: microsOf(document.expireTime),
    updateTime: microsOf(document.updateTime),
    contentHash: document.contentHash,
    hasVector: document.vector !== undefined,
  };
}

function knownType(type: MemoryType | undefined): MemoryType {
  if (type === undefined) throw garbled();
  return type;
}

function toOutcome({ id, outcome, error }: UpsertResult): DocumentOutcome {
  if (error !== undefined) return { kind: "refused", error: toDomainError(error) };
  switch (outcome) {
    case UpsertOutcome.CREATED:
      return { kind: "created", id };
    case UpsertOutcome.UPDATED:
      return { kind: "updated", id };
    case UpsertOutcome.DEDUPLICATED:
      return { kind: "deduplicated", id };
    default:
      return { kind: "refused", error: garbled() };
  }
}

const kindOfCode = new Map<number, ErrorKind>(
  Object.entries(codeOfKind).map(([kind, code]) => [code, kind as ErrorKind]),
);

function toDomainError({ code, reason, message }: ItemError): DomainError {
  const name = ErrorReason[reason];
  return new DomainError(
    kindOfCode.get(code) ?? "internal",
    name === undefined || name === "UNSPECIFIED" ? "INTERNAL" : (name as ErrorReasonName),
    message,
  );
}
