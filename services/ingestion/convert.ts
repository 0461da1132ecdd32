import { isAbsolute } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { InvalidRequestError, Violations } from "../../shared/errors.ts";
import {
  type IngestionProgress,
  IngestionProgressSchema,
  IngestionSchema,
  type Ingestion as ProtoIngestion,
  IngestionStage as ProtoStage,
  IngestionStatus as ProtoStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type {
  IngestDocumentsRequest,
  IngestDocumentsResponseSchema,
  IngestRepositoryRequest,
  ListIngestionsRequest,
  PassageSchema,
  QueryKnowledgeBaseRequest,
  QueryKnowledgeBaseResponseSchema,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { codeOfKind } from "../../shared/rpc/errors.ts";
import type { Incoming } from "./document-intake.ts";
import type { DocumentEnd } from "./document-stream.ts";
import type { IngestionStage, IngestionStatus } from "./ingestion.ts";
import type { IngestionOrder } from "./ingestions.ts";
import type { Answer, Question } from "./knowledge-base.ts";
import type { IngestionView } from "./live-ingestion.ts";
import type { AnsweredPassage } from "./passage-groups.ts";
import type { Metadata } from "./ports.ts";
import type { IngestionFilter } from "./store.ts";

const maxRepoIdBytes = 256;
const maxPathBytes = 4_096;
const maxPatterns = 1_000;
const maxPatternBytes = 1_024;
const maxQueryBytes = 32 * 1024;
const maxLanguageBytes = 64;
const maxIdBytes = 256;
const maxUriBytes = 1_024;
const maxMediaTypeBytes = 256;
const maxDocumentBytes = 8 * 1024 * 1024;
const maxMetadataBytes = 16 * 1024;

export interface ChunkDefaults {
  readonly chunkSize: number;
  readonly chunkOverlap: number;
}

export function parseIngestRepository(
  request: IngestRepositoryRequest,
  defaults: ChunkDefaults,
): IngestionOrder {
  const violations = new Violations();
  const { path, repoId, include, exclude } = request;
  if (violations.require(path !== "", "path", "is required")) {
    checkText(violations, "path", path, maxPathBytes);
    violations.require(isAbsolute(path), "path", "must be absolute");
  }
  checkText(violations, "repo_id", repoId, maxRepoIdBytes);
  checkPatterns(violations, "include", include);
  checkPatterns(violations, "exclude", exclude);
  const chunkSize = request.chunkSize === 0 ? defaults.chunkSize : request.chunkSize;
  const sizeHolds = violations.require(
    chunkSize >= 16 && chunkSize <= 8_192,
    "chunk_size",
    "must be 16 to 8192",
  );
  const most = Math.floor(chunkSize / 2);
  const chunkOverlap = request.chunkOverlap ?? Math.min(defaults.chunkOverlap, most);
  violations.require(
    chunkOverlap >= 0 && (!sizeHolds || chunkOverlap <= most),
    "chunk_overlap",
    "must be 0 to half of chunk_size",
  );
  violations.throwIfAny();
  return { path, repoId, settings: { include, exclude, chunkSize, chunkOverlap } };
}

function checkPatterns(violations: Violations, field: string, patterns: readonly string[]): void {
  violations.require(patterns.length <= maxPatterns, field, `at most ${maxPatterns} patterns`);
  patterns.slice(0, maxPatterns).forEach((pattern, index) => {
    const name = `${field}[${index}]`;
    violations.require(pattern.trim() !== "", name, "must not be empty");
    checkText(violations, name, pattern, maxPatternBytes);
    violations.require(!/[\r\n]/.test(pattern), name, "must be a single line");
  });
}

function checkText(violations: Violations, field: string, text: string, maxBytes: number): void {
  violations.require(Buffer.byteLength(text) <= maxBytes, field, `at most ${maxBytes} bytes`);
  violations.require(!text.includes("\0"), field, "must not contain NUL");
}

/** The repository of a stream of documents, as its first message names it. */
export function parseStreamRepoId(first: IngestDocumentsRequest): string {
  return parseRepoId(first.repoId);
}

/** A document of a stream, or what is wrong with it. */
export function parseDocument(request: IngestDocumentsRequest, repoId: string): Incoming {
  const violations = new Violations();
  const { uri, content, mediaType, metadata = {} } = request;
  if (violations.require(uri !== "", "uri", "is required")) {
    checkText(violations, "uri", uri, maxUriBytes);
  }
  violations.require(
    request.repoId === "" || request.repoId === repoId,
    "repo_id",
    "must be empty or that of the stream's first message",
  );
  violations.require(
    content.length <= maxDocumentBytes,
    "content",
    `at most ${maxDocumentBytes} bytes`,
  );
  checkText(violations, "media_type", mediaType, maxMediaTypeBytes);
  const json = JSON.stringify(metadata);
  violations.require(
    Buffer.byteLength(json) <= maxMetadataBytes,
    "metadata",
    `at most ${maxMetadataBytes} bytes as JSON`,
  );
  violations.require(!json.includes("\\u0000"), "metadata", "must not contain NUL");
  if (violations.list.length > 0) return { uri, error: new InvalidRequestError(violations.list) };
  return { document: { uri, content, mediaType, metadata: metadata as Metadata } };
}

export function toDocumentAnswer({
  uri,
  end,
}: DocumentEnd): MessageInitShape<typeof IngestDocumentsResponseSchema> {
  if (!("failure" in end)) {
    return { uri, chunksStored: end.stored, chunksUnchanged: end.unchanged };
  }
  const { kind, reason, message, field = "" } = end.failure;
  const error = { code: codeOfKind[kind], reason: ErrorReason[reason], message, field };
  return { uri, error };
}

export function parseIngestionId(id: string): string {
  return parseRequired("ingestion_id", id, maxIdBytes);
}

export function parseRepoId(id: string): string {
  return parseRequired("repo_id", id, maxRepoIdBytes);
}

function parseRequired(field: string, value: string, maxBytes: number): string {
  const violations = new Violations();
  violations.require(value !== "", field, "is required");
  checkText(violations, field, value, maxBytes);
  violations.throwIfAny();
  return value;
}

export function parseListIngestions(request: ListIngestionsRequest): IngestionFilter {
  const violations = new Violations();
  const { repoId, status, pageSize, pageToken } = request;
  checkText(violations, "repo_id", repoId, maxRepoIdBytes);
  const named = statusOf.get(status);
  violations.require(
    named !== undefined || status === ProtoStatus.UNSPECIFIED,
    "status",
    "is no known status",
  );
  violations.require(pageSize >= 0 && pageSize <= 1_000, "page_size", "must be 1 to 1000");
  const before = parsePageToken(pageToken);
  violations.require(pageToken === "" || before !== undefined, "page_token", "is not one of ours");
  violations.throwIfAny();
  return { repoId, status: named, limit: pageSize === 0 ? 100 : pageSize, before };
}

/** A token is the id of the last ingestion of its page. */
export function pageTokenOf(id: string): string {
  return Buffer.from(id).toString("base64url");
}

function parsePageToken(token: string): string | undefined {
  const id = Buffer.from(token, "base64url").toString("utf8");
  return /^[0-9a-f-]{36}$/.test(id) && pageTokenOf(id) === token ? id : undefined;
}

export function parseQuestion(request: QueryKnowledgeBaseRequest): Question {
  const violations = new Violations();
  const { query, repoId, topK, minScore, pathPrefix, language, keepApart, groupByFile } = request;
  const { passageCharacters } = request;
  violations.require(query.trim() !== "", "query", "is required");
  checkText(violations, "query", query, maxQueryBytes);
  checkText(violations, "repo_id", repoId, maxRepoIdBytes);
  checkText(violations, "path_prefix", pathPrefix, maxPathBytes);
  checkText(violations, "language", language, maxLanguageBytes);
  violations.require(topK >= 0 && topK <= 100, "top_k", "must be 1 to 100");
  violations.require(minScore >= 0 && minScore <= 1, "min_score", "must be 0 to 1");
  violations.require(
    passageCharacters === 0 || (passageCharacters >= 200 && passageCharacters <= 100_000),
    "passage_characters",
    "must be 200 to 100000",
  );
  violations.throwIfAny();
  return {
    query,
    repoId,
    pathPrefix,
    language,
    topK: topK === 0 ? 5 : topK,
    minScore,
    keepApart,
    groupByFile,
    passageCharacters,
  };
}

const protoStatus: Readonly<Record<IngestionStatus, ProtoStatus>> = {
  pending: ProtoStatus.PENDING,
  in_progress: ProtoStatus.IN_PROGRESS,
  completed: ProtoStatus.COMPLETED,
  failed: ProtoStatus.FAILED,
  cancelled: ProtoStatus.CANCELLED,
};

const statusOf = new Map(
  Object.entries(protoStatus).map(([name, status]) => [status, name as IngestionStatus]),
);

const protoStage: Readonly<Record<IngestionStage, ProtoStage>> = {
  scanning: ProtoStage.SCANNING,
  ingesting: ProtoStage.INGESTING,
  cleaning: ProtoStage.CLEANING,
  done: ProtoStage.DONE,
};

export function toProgress(view: IngestionView, now = new Date()): IngestionProgress {
  const { progress } = view;
  const elapsedMs =
    view.startTime === undefined ? 0 : (view.endTime ?? now).getTime() - view.startTime.getTime();
  return create(IngestionProgressSchema, {
    ingestionId: view.id,
    stage: protoStage[progress.stage],
    status: protoStatus[view.status],
    filesTotal: BigInt(progress.filesTotal),
    filesRead: BigInt(progress.filesRead),
    filesDone: BigInt(progress.filesDone),
    filesFailed: BigInt(progress.filesFailed),
    chunksSplit: BigInt(progress.chunksSplit),
    chunksEmbedded: BigInt(progress.chunksEmbedded),
    chunksStored: BigInt(progress.chunksStored),
    chunksUnchanged: BigInt(progress.chunksUnchanged),
    chunksDeleted: BigInt(progress.chunksDeleted),
    filesSkipped: Object.fromEntries(
      Object.entries(progress.filesSkipped).map(([reason, count]) => [reason, BigInt(count)]),
    ),
    skippedExamples: [...progress.skippedExamples],
    errors: progress.errors.map(({ path, kind, reason, message }) => ({
      path,
      error: { code: codeOfKind[kind], reason: ErrorReason[reason], message },
    })),
    elapsed: durationFromMs(Math.max(0, elapsedMs)),
    currentFile: view.currentFile,
    message: view.message,
    slowest: view.slowest ?? "",
    busy: Object.fromEntries(
      Object.entries(view.busyMs ?? {}).map(([stage, ms]) => [
        stage,
        durationFromMs(Math.round(ms)),
      ]),
    ),
  });
}

export function toIngestion(view: IngestionView): ProtoIngestion {
  return create(IngestionSchema, {
    id: view.id,
    repoId: view.repoId,
    path: view.path,
    status: protoStatus[view.status],
    progress: toProgress(view),
    createTime: timestampFromDate(view.createTime),
    ...(view.startTime === undefined ? {} : { startTime: timestampFromDate(view.startTime) }),
    ...(view.endTime === undefined ? {} : { endTime: timestampFromDate(view.endTime) }),
  });
}

export function toAnswer(
  answer: Answer,
): MessageInitShape<typeof QueryKnowledgeBaseResponseSchema> {
  if ("passages" in answer) return { passages: answer.passages.map(toPassage) };
  return {
    files: answer.files.map(({ passages, ...file }) => ({
      ...file,
      passages: passages.map(toPassage),
    })),
  };
}

function toPassage(passage: AnsweredPassage): MessageInitShape<typeof PassageSchema> {
  const { contentHash: _, index: __, lastIndex: ___, startColumn: ____, ...told } = passage;
  const { createTime, memoryIds, ...same } = told;
  return {
    ...same,
    memoryIds: [...memoryIds],
    ...(createTime === undefined ? {} : { createTime: timestampFromDate(createTime) }),
  };
}
