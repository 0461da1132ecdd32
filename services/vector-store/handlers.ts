import { Violations } from "../../shared/errors.ts";
import type { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import type { Logger } from "../../shared/logging.ts";
import { callContext } from "../../shared/rpc/call-context.ts";
import { itemError } from "../../shared/rpc/item-error.ts";
import type { ServiceImpl } from "../../shared/rpc/service.ts";
import { AnswerBudget, maxReadBytes } from "./answer-budget.ts";
import { concurrently } from "./concurrently.ts";
import { documentMessage, hitMessage, modeMessage } from "./convert.ts";
import { AnswerTooLargeError } from "./errors.ts";
import type { VectorStoreMetrics } from "./metrics.ts";
import { decodePageToken, encodePageToken, fingerprint } from "./page-token.ts";
import { bulkUpsert } from "./rpc/bulk-upsert.ts";
import { collectionHandlers } from "./rpc/collections.ts";
import { parseOrder, placeOf, placeText } from "./rpc/list-order.ts";
import {
  parseCollectionName,
  requireCollectionName,
  requireIds,
  requirePageSize,
} from "./rpc/names.ts";
import { parseFilter } from "./rpc/parse-filter.ts";
import { parseSearch, searchBounds } from "./rpc/parse-search.ts";
import { parseSelection } from "./rpc/parse-selection.ts";
import { replace } from "./rpc/replace.ts";
import { updateDocument } from "./rpc/update-document.ts";
import { upsert } from "./rpc/upsert.ts";
import { upsertVectors } from "./rpc/upsert-vectors.ts";
import type { DocumentStore } from "./store.ts";

export interface HandlerParts {
  readonly store: DocumentStore;
  readonly logger: Logger;
  readonly metrics: VectorStoreMetrics;
  /** Requests of one BulkUpsert stream that are written at the same time. */
  readonly bulkInFlight: number;
  /** Searches of one BatchSearch that run at the same time. */
  readonly batchInFlight: number;
}

const maxIdsRead = 1_000;
const fewerSearches = "send fewer searches at once";

export function vectorStoreHandlers({
  store,
  logger,
  metrics,
  bulkInFlight,
  batchInFlight,
}: HandlerParts): ServiceImpl<typeof VectorStoreService> {
  const onUnexpected = (error: unknown) => {
    logger.error({ err: error }, "an item of a batch failed by a fault of ours");
  };
  return {
    ...collectionHandlers(store),

    async upsertDocuments(request, context) {
      const { tenant, signal } = callContext(context);
      if (request.deleteIds.length > 0 || request.allOrNothing) {
        const answer = await replace(store, tenant, request, signal);
        metrics.stored(answer.results);
        return answer;
      }
      const write = request.vectorsOnly ? upsertVectors : upsert;
      const results = await write(store, tenant, request, signal);
      metrics.stored(results);
      return { results };
    },

    async updateDocument(request, context) {
      const { tenant, signal } = callContext(context);
      return await updateDocument(store, tenant, request, signal);
    },

    async *bulkUpsert(requests, context) {
      const { tenant, signal, stopping } = callContext(context);
      const options = { store, tenant, signal, stopping, onUnexpected, inFlight: bulkInFlight };
      for await (const acknowledgement of bulkUpsert(requests, options)) {
        metrics.stored(acknowledgement.results ?? []);
        yield acknowledgement;
      }
    },

    async search(request, context) {
      const { tenant, signal } = callContext(context);
      const collection = parseCollectionName(request.collection);
      const query = parseSearch(request);
      const hits = await metrics.timed(query.mode, () =>
        store.search(tenant, collection, query, signal),
      );
      return { hits: hits.map(hitMessage), mode: modeMessage(query) };
    },

    async batchSearch(request, context) {
      const { tenant, signal } = callContext(context);
      const violations = new Violations();
      const name = requireCollectionName(request.collection, "collection", violations);
      violations.require(
        request.searches.length >= 1 && request.searches.length <= searchBounds.searchesInBatch,
        "searches",
        `must hold 1 to ${searchBounds.searchesInBatch} searches`,
      );
      violations.throwIfAny();
      // An unknown collection fails the call, not each of its searches.
      const collection = await store.collection(name, signal);
      const budget = new AnswerBudget(request.searches.length);
      const results = await concurrently(request.searches, batchInFlight, async (search, i) => {
        let finished = false;
        try {
          const query = parseSearch(search, budget.share, `searches[${i}].`);
          const hits = await metrics.timed(query.mode, () =>
            store.search(tenant, collection.name, query, signal),
          );
          finished = true;
          const bytes = hits.reduce((sum, hit) => sum + hit.bytes, 0);
          if (!budget.finish(bytes)) throw new AnswerTooLargeError(maxReadBytes, fewerSearches);
          const value = { hits: hits.map(hitMessage), mode: modeMessage(query) };
          return { result: { case: "response" as const, value } };
        } catch (error) {
          if (signal.aborted) throw error;
          if (!finished) budget.finish(0);
          const value = itemError(error, undefined, { onUnexpected });
          return { result: { case: "error" as const, value } };
        }
      });
      return { results };
    },

    async getDocuments(request, context) {
      const { tenant, signal } = callContext(context);
      const violations = new Violations();
      const collection = requireCollectionName(request.collection, "collection", violations);
      requireIds(request.ids, maxIdsRead, violations);
      violations.throwIfAny();
      const { ids, includeVectors } = request;
      const documents = await store.get(tenant, collection, ids, includeVectors, signal);
      return { documents: documents.map(documentMessage) };
    },

    async listDocuments(request, context) {
      const { tenant, signal } = callContext(context);
      const violations = new Violations();
      const collection = requireCollectionName(request.collection, "collection", violations);
      const filter = parseFilter(request.filter, "filter", violations);
      const pageSize = requirePageSize(request.pageSize, violations);
      const order = parseOrder(request.orderBy, violations);
      violations.throwIfAny();
      const question = fingerprint({ collection, filter, order: request.orderBy });
      const page = await store.list(
        tenant,
        collection,
        {
          filter,
          order,
          ...placeOf(order, decodePageToken(request.pageToken, question)),
          limit: pageSize,
          includeVectors: request.includeVectors,
        },
        signal,
      );
      const last = page.documents.at(-1);
      const more = page.more && last !== undefined;
      return {
        documents: page.documents.map(documentMessage),
        nextPageToken: more ? encodePageToken({ question, after: placeText(order, last) }) : "",
      };
    },

    async countDocuments(request, context) {
      const { tenant, signal } = callContext(context);
      const violations = new Violations();
      const collection = requireCollectionName(request.collection, "collection", violations);
      const filter = parseFilter(request.filter, "filter", violations);
      violations.throwIfAny();
      return { count: await store.count(tenant, collection, filter, signal) };
    },

    async deleteDocuments(request, context) {
      const { tenant, signal } = callContext(context);
      const collection = parseCollectionName(request.collection);
      const selection = parseSelection(request);
      return { deletedCount: await store.delete(tenant, collection, selection, signal) };
    },
  };
}
