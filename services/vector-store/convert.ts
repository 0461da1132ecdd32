import type { MessageInitShape } from "@bufbuild/protobuf";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  type CollectionSchema,
  Distance,
  IndexKind,
  type IndexSchema,
} from "../../shared/gen/mahavishnu/vectorstore/v1/collection_pb.js";
import {
  type DocumentSchema,
  UpsertOutcome,
} from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  type HitSchema,
  SearchMode,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import type {
  Collection,
  CollectionIndex,
  CollectionStatistics,
  DistanceName,
} from "./collection.ts";
import type { MemoryTypeName, StoredDocument, WriteResult } from "./document.ts";
import { type Instant, secondsAndNanos } from "./instant.ts";
import type { Hit, SearchBy } from "./search.ts";

const memoryTypes: Readonly<Record<MemoryTypeName, MemoryType>> = {
  agent: MemoryType.AGENT,
  rag: MemoryType.RAG,
  workflow: MemoryType.WORKFLOW,
  insight: MemoryType.INSIGHT,
};
const distances: Readonly<Record<DistanceName, Distance>> = {
  cosine: Distance.COSINE,
  euclidean: Distance.EUCLIDEAN,
  dot_product: Distance.DOT_PRODUCT,
};
const indexKinds: Readonly<Record<CollectionIndex["kind"], IndexKind>> = {
  hnsw: IndexKind.HNSW,
  ivfflat: IndexKind.IVFFLAT,
};
const modes: Readonly<Record<SearchBy["mode"], SearchMode>> = {
  vector: SearchMode.VECTOR,
  text: SearchMode.TEXT,
  hybrid: SearchMode.HYBRID,
};
const outcomes: Readonly<
  Record<Exclude<WriteResult["outcome"], "duplicate_content">, UpsertOutcome>
> = {
  created: UpsertOutcome.CREATED,
  updated: UpsertOutcome.UPDATED,
  deduplicated: UpsertOutcome.DEDUPLICATED,
};

export function documentMessage(document: StoredDocument): MessageInitShape<typeof DocumentSchema> {
  return {
    id: document.id,
    content: document.content,
    ...(document.vector && { vector: { values: [...document.vector] } }),
    memoryType: memoryTypes[document.memoryType],
    sourceSystem: document.sourceSystem,
    agentId: document.agentId ?? "",
    workflowId: document.workflowId ?? "",
    repoId: document.repoId ?? "",
    metadata: document.metadata,
    contentHash: document.contentHash,
    createTime: secondsAndNanos(document.createTime),
    updateTime: secondsAndNanos(document.updateTime),
    ...timeField("expireTime", document.expireTime),
  };
}

/** What is undefined was not asked for. */
export function collectionMessage(
  collection: Collection,
  documentCount?: bigint,
  statistics?: CollectionStatistics,
): MessageInitShape<typeof CollectionSchema> {
  const { index } = collection;
  return {
    name: collection.name,
    dimension: collection.dimension,
    distance: distances[collection.distance],
    embeddingModel: collection.embeddingModel ?? "",
    ...(index && { index: indexMessage(index, statistics?.indexBytes) }),
    ...(documentCount === undefined ? {} : { documentCount }),
    createTime: secondsAndNanos(collection.createTime),
    ...(statistics && {
      statistics: {
        rowEstimate: statistics.rows,
        deadRowEstimate: statistics.deadRows,
        tableBytes: statistics.tableBytes,
        pgvectorVersion: statistics.pgvectorVersion,
      },
    }),
    textLanguage: collection.textLanguage,
  };
}

export function indexMessage(
  index: CollectionIndex,
  sizeBytes = 0n,
): MessageInitShape<typeof IndexSchema> {
  return {
    kind: indexKinds[index.kind],
    m: index.m ?? 0,
    efConstruction: index.efConstruction ?? 0,
    lists: index.lists ?? 0,
    sizeBytes,
  };
}

export function hitMessage(hit: Hit): MessageInitShape<typeof HitSchema> {
  return {
    document: documentMessage(hit.document),
    score: hit.score,
    ...(hit.vectorScore === undefined ? {} : { vectorScore: hit.vectorScore }),
    ...(hit.textScore === undefined ? {} : { textScore: hit.textScore }),
    ...(hit.passage && { passage: hit.passage }),
  };
}

export function modeMessage(by: SearchBy): SearchMode {
  return modes[by.mode];
}

export function outcomeMessage(
  outcome: Exclude<WriteResult["outcome"], "duplicate_content">,
): UpsertOutcome {
  return outcomes[outcome];
}

function timeField<const K extends string>(name: K, time: Instant | undefined) {
  if (time === undefined) return {};
  return { [name]: secondsAndNanos(time) } as Record<K, { seconds: bigint; nanos: number }>;
}
