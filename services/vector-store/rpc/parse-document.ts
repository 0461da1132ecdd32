import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { DomainError, Violations } from "../../../shared/errors.ts";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { Document } from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { contentHash } from "../../../shared/hash.ts";
import { newId } from "../../../shared/ids.ts";
import {
  dedupScopeOf,
  type MemoryTypeName,
  type NewDocument,
  type NewVector,
} from "../document.ts";
import { DimensionMismatchError } from "../errors.ts";
import { type Instant, instantNow, instantOf, isInstant } from "../instant.ts";
import { type JsonObject, jsonProblem } from "../json.ts";
import { boundedTextProblem } from "../text-checks.ts";
import { vectorProblem } from "../vector-checks.ts";
import { parsePassages, requirePassageDimension } from "./parse-passages.ts";

/** Bounds of a document's fields; sizes in bytes of UTF-8. */
export const documentBounds = {
  id: 256,
  content: 1_048_576,
  sourceSystem: 128,
  owner: 256,
  dedupScope: 512,
  metadata: 65_536,
  metadataDepth: 32,
} as const;

const memoryTypeNames: Readonly<Record<MemoryType, MemoryTypeName | undefined>> = {
  [MemoryType.UNSPECIFIED]: undefined,
  [MemoryType.AGENT]: "agent",
  [MemoryType.RAG]: "rag",
  [MemoryType.WORKFLOW]: "workflow",
  [MemoryType.INSIGHT]: "insight",
};

/** A document of a batch: fit to be written, or what is wrong with it. */
export type ParsedDocument =
  | { readonly document: NewDocument }
  | { readonly error: DomainError; readonly id: string };

/** A document of a batch that brings its vector only. */
export type ParsedVector =
  | { readonly vector: NewVector }
  | { readonly error: DomainError; readonly id: string };

/** Each document by itself, so that one that is not valid does not keep the others from storage. */
export function parseDocuments(
  documents: readonly Document[],
  dimension: number,
): ParsedDocument[] {
  return parseEach(documents, (given, path, seen) => {
    const document = parseDocument(given, path, dimension, seen);
    return { id: document.id, parsed: { document } };
  });
}

/** As parseDocuments, of documents whose other fields do not count. */
export function parseVectors(documents: readonly Document[], dimension: number): ParsedVector[] {
  return parseEach(documents, (given, path, seen) => {
    const vector = parseVector(given, path, dimension, seen);
    return { id: vector.id, parsed: { vector } };
  });
}

function parseEach<T>(
  documents: readonly Document[],
  parse: (given: Document, path: string, seen: ReadonlySet<string>) => { id: string; parsed: T },
): (T | { readonly error: DomainError; readonly id: string })[] {
  const seen = new Set<string>();
  return documents.map((given, i) => {
    try {
      const { id, parsed } = parse(given, `documents[${i}]`, seen);
      seen.add(id);
      return parsed;
    } catch (error) {
      if (error instanceof DomainError) return { error, id: given.id };
      throw error;
    }
  });
}

function parseVector(
  given: Document,
  path: string,
  dimension: number,
  seen: ReadonlySet<string>,
): NewVector {
  const violations = new Violations();
  const { id, content, vector } = given;
  checkIdentity(given, 1, path, seen, violations);
  const values = vector?.values;
  const fault = values === undefined ? "is required" : vectorProblem(values);
  if (fault !== undefined) violations.add(`${path}.vector`, fault);
  const passages = parsePassages(given, path, violations);
  violations.throwIfAny();
  requirePassageDimension(passages, path, dimension);
  // Violations were thrown where there is none.
  return {
    id,
    contentHash: contentHash(content),
    vector: ofDimension(values ?? [], path, dimension),
    passages,
  };
}

function checkIdentity(
  { id, content }: { readonly id: string; readonly content: string },
  shortestId: number,
  path: string,
  seen: ReadonlySet<string>,
  violations: Violations,
): void {
  const text = (field: string, value: string, min: number, max: number) => {
    const problem = boundedTextProblem(value, min, max);
    if (problem !== undefined) violations.add(`${path}.${field}`, problem);
  };
  text("id", id, shortestId, documentBounds.id);
  if (id !== "" && seen.has(id)) violations.add(`${path}.id`, "stands twice in this request");
  text("content", content, 1, documentBounds.content);
}

function ofDimension(
  values: ArrayLike<number>,
  path: string,
  dimension: number,
): ArrayLike<number> {
  if (values.length === dimension) return values;
  throw new DimensionMismatchError(`${path}.vector`, dimension, values.length);
}

function parseDocument(
  given: Document,
  path: string,
  dimension: number,
  seen: ReadonlySet<string>,
): NewDocument {
  const violations = new Violations();
  const text = (field: string, value: string, min: number, max: number) => {
    const problem = boundedTextProblem(value, min, max);
    if (problem !== undefined) violations.add(`${path}.${field}`, problem);
  };
  const { id, content, sourceSystem, dedupScope } = given;
  checkIdentity(given, 0, path, seen, violations);
  text("source_system", sourceSystem, 1, documentBounds.sourceSystem);
  text("agent_id", given.agentId, 0, documentBounds.owner);
  text("workflow_id", given.workflowId, 0, documentBounds.owner);
  text("repo_id", given.repoId, 0, documentBounds.owner);
  text("dedup_scope", dedupScope, 0, documentBounds.dedupScope);
  const memoryType = memoryTypeNames[given.memoryType];
  if (memoryType === undefined) {
    violations.add(`${path}.memory_type`, "must be AGENT, RAG, WORKFLOW or INSIGHT");
  }
  const metadata = parseMetadata(given.metadata ?? {}, `${path}.metadata`, violations);
  const createTime = parseTime(given.createTime, `${path}.create_time`, violations);
  const expireTime = parseTime(given.expireTime, `${path}.expire_time`, violations);
  const vector = given.vector?.values;
  const vectorFault = vector === undefined ? undefined : vectorProblem(vector);
  if (vectorFault !== undefined) violations.add(`${path}.vector`, vectorFault);
  const passages = parsePassages(given, path, violations);
  violations.throwIfAny();
  if (vector !== undefined) ofDimension(vector, path, dimension);
  requirePassageDimension(passages, path, dimension);

  const owner = {
    agentId: given.agentId || undefined,
    workflowId: given.workflowId || undefined,
    repoId: given.repoId || undefined,
  };
  return {
    id: id || newId(),
    idGiven: id !== "",
    content,
    vector,
    passages,
    // Violations were thrown where it is undefined.
    memoryType: memoryType as MemoryTypeName,
    sourceSystem,
    ...owner,
    metadata,
    contentHash: contentHash(content),
    dedupScope: dedupScopeOf(dedupScope, owner),
    createTime: createTime === undefined ? undefined : notAfterNow(createTime),
    expireTime,
  };
}

export function parseMetadata(metadata: JsonObject, path: string, violations: Violations): string {
  const problem = jsonProblem(metadata, documentBounds.metadataDepth);
  if (problem !== undefined) {
    violations.add(path, problem);
    return "{}";
  }
  const json = JSON.stringify(metadata);
  if (Buffer.byteLength(json) > documentBounds.metadata) {
    violations.add(path, `must have at most ${documentBounds.metadata} bytes as JSON`);
  }
  return json;
}

export function parseTime(
  time: Timestamp | undefined,
  path: string,
  violations: Violations,
): Instant | undefined {
  if (time === undefined) return undefined;
  const instant = instantOf(time.seconds, time.nanos);
  const valid = time.nanos >= 0 && time.nanos < 1_000_000_000 && isInstant(instant);
  if (!valid) violations.add(path, "must be a time in the years 1 to 9999");
  return instant;
}

function notAfterNow(time: Instant): Instant {
  const now = instantNow();
  return time > now ? now : time;
}
