import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { InvalidRequestError, Violations } from "../../shared/errors.ts";
import type {
  BulkEmbedRequest,
  BulkEmbedResponseSchema,
  EmbeddingSchema,
  EmbedRequest,
  EmbedResponseSchema,
} from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import {
  type ModelSchema,
  EmbeddingTask as ProtoTask,
} from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { VectorSchema } from "../../shared/gen/mahavishnu/type/v1/vector_pb.js";
import { itemError } from "../../shared/rpc/item-error.ts";
import type { BulkItem } from "./bulk-embedding.ts";
import { type EmbeddingOutcome, type EmbeddingTask, isEmbedded } from "./embedder.ts";
import type { BulkReceipt, EmbedOrder, EmbedReceipt } from "./embedding-desk.ts";
import type { ModelStatus } from "./model-catalog.ts";
import { textLimits } from "./text-checks.ts";

/** Throws InvalidRequestError. What is wrong with a single text is left to be told in its place. */
export function embedOrder({ model, task, texts }: EmbedRequest): EmbedOrder {
  const violations = new Violations();
  const count = texts.length;
  violations.require(
    count >= 1 && count <= textLimits.texts,
    "texts",
    `must hold 1 to ${textLimits.texts} texts, not ${count}`,
  );
  const order = { model: checkedModel(model, violations), task: taskOf(task, violations), texts };
  violations.throwIfAny();
  return order;
}

/** What the first message of a bulk stream says of the whole stream. */
export interface BulkHead {
  readonly model: string;
  readonly task: EmbeddingTask;
}

/** Throws InvalidRequestError. */
export function bulkHead({ model, task }: BulkEmbedRequest): BulkHead {
  const violations = new Violations();
  const head = { model: checkedModel(model, violations), task: taskOf(task, violations) };
  violations.throwIfAny();
  return head;
}

/** Throws InvalidRequestError. `head` is what `bulkHead` read from the first message. */
export function bulkItems({ model, items }: BulkEmbedRequest, head: BulkHead): BulkItem[] {
  const violations = new Violations();
  violations.require(
    model === "" || model === head.model,
    "model",
    "must be that of the stream's first message, or empty",
  );
  const count = items.length;
  violations.require(
    count >= 1 && count <= textLimits.texts,
    "items",
    `must hold 1 to ${textLimits.texts} items, not ${count}`,
  );
  violations.throwIfAny();
  return items.map(({ id, text }, index) => ({ id, text, field: `items[${index}]` }));
}

function checkedModel(model: string, violations: Violations): string {
  const bytes = Buffer.byteLength(model);
  violations.require(
    bytes <= textLimits.modelBytes,
    "model",
    `has ${bytes} bytes, more than ${textLimits.modelBytes}`,
  );
  return model;
}

function taskOf(task: ProtoTask, violations: Violations): EmbeddingTask {
  switch (task) {
    case ProtoTask.UNSPECIFIED:
    case ProtoTask.SEARCH_DOCUMENT:
      return "document";
    case ProtoTask.SEARCH_QUERY:
      return "query";
    default:
      violations.add("task", `is not a known task: ${String(task)}`);
      return "document";
  }
}

export function embedResponse(receipt: EmbedReceipt): MessageInitShape<typeof EmbedResponseSchema> {
  const { model, dimension, outcomes } = receipt;
  return {
    model,
    dimension,
    embeddings: outcomes.map((outcome, index) => embedding(outcome, `texts[${index}]`)),
  };
}

export function bulkResponse(
  receipt: BulkReceipt,
): MessageInitShape<typeof BulkEmbedResponseSchema> {
  const { model, dimension, answers } = receipt;
  return {
    model,
    dimension,
    results: answers.map(({ id, outcome }) => ({ id, embedding: embedding(outcome) })),
  };
}

/** `field` says where the text stands in its request, where the error itself does not. */
function embedding(
  outcome: EmbeddingOutcome,
  field?: string,
): MessageInitShape<typeof EmbeddingSchema> {
  if (isEmbedded(outcome)) {
    const vector = create(VectorSchema, { values: Array.from(outcome.vector) });
    return { result: { case: "vector", value: vector }, truncated: outcome.truncated };
  }
  const named = outcome.error instanceof InvalidRequestError ? undefined : field;
  return { result: { case: "error", value: itemError(outcome.error, named) } };
}

export function modelMessage(status: ModelStatus): MessageInitShape<typeof ModelSchema> {
  const { name, provider, dimension, isDefault, ready, lexical, description } = status;
  return { name, provider, dimension, isDefault, ready, lexical, description };
}
