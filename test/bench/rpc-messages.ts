import { create } from "@bufbuild/protobuf";
import { type Echo, EchoSchema } from "../../shared/rpc/testing/echo.ts";

// The sizes of the platform's own traffic: a search with its results, vectors, batches of documents.
const vector = Array.from({ length: 768 }, (_, i) => Math.fround(Math.sin(i)));
const text = "the quick brown fox jumps over the lazy dog; ".repeat(14).slice(0, 600);

/** A search: one vector of 768 floats. */
export const searchRequest: Echo = create(EchoSchema, { values: vector, count: 20 });

/** Its answer: 20 results of 600 characters. */
export const searchResponse: Echo = create(EchoSchema, {
  parts: Array.from({ length: 20 }, (_, count) => create(EchoSchema, { text, count })),
});

/** One message of a stream of vectors. */
export const vectorMessage: Echo = create(EchoSchema, { values: vector });

/** 100 documents of 600 characters with their vectors. */
export const batchRequest: Echo = create(EchoSchema, {
  parts: Array.from({ length: 100 }, () => create(EchoSchema, { text, values: vector })),
});

/** The acknowledgement of one batch. */
export const batchResponse: Echo = create(EchoSchema, { count: 100 });
