import type { MessageInitShape } from "@bufbuild/protobuf";
import { Violations } from "../../../shared/errors.ts";
import type {
  BuildIndexResponseSchema,
  VectorStoreService,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { callContext } from "../../../shared/rpc/call-context.ts";
import type { ServiceImpl } from "../../../shared/rpc/service.ts";
import type { IndexProgress } from "../collection.ts";
import { collectionMessage, indexMessage } from "../convert.ts";
import { decodePageToken, encodePageToken, fingerprint } from "../page-token.ts";
import type { DocumentStore } from "../store.ts";
import { parseCollectionName, requirePageSize } from "./names.ts";
import { parseIndexOrder, parseNewCollection } from "./parse-collection.ts";

type CollectionMethods =
  | "createCollection"
  | "getCollection"
  | "listCollections"
  | "deleteCollection"
  | "buildIndex";

/** What is served of collections as such, and of their indexes. */
export function collectionHandlers(
  store: DocumentStore,
): Pick<ServiceImpl<typeof VectorStoreService>, CollectionMethods> {
  return {
    async createCollection(request, context) {
      const { signal } = callContext(context);
      const created = await store.createCollection(parseNewCollection(request), signal);
      return { collection: collectionMessage(created) };
    },

    async getCollection({ name, includeCount }, context) {
      const { tenant, signal } = callContext(context);
      const found = await store.describe(parseCollectionName(name, "name"), signal);
      const { collection, statistics } = found;
      const count = includeCount
        ? await store.count(tenant, collection.name, undefined, signal)
        : undefined;
      return { collection: collectionMessage(collection, count, statistics) };
    },

    async listCollections({ pageSize, pageToken, includeCount }, context) {
      const { tenant, signal } = callContext(context);
      const violations = new Violations();
      const size = requirePageSize(pageSize, violations);
      violations.throwIfAny();
      const question = fingerprint("collections");
      const after = decodePageToken(pageToken, question);
      const found = await store.collections(after, size + 1, signal);
      const page = found.slice(0, size);
      const collections = [];
      for (const one of page) {
        const count = includeCount
          ? await store.count(tenant, one.name, undefined, signal)
          : undefined;
        collections.push(collectionMessage(one, count));
      }
      const last = page.at(-1);
      const more = found.length > page.length && last !== undefined;
      return {
        collections,
        nextPageToken: more ? encodePageToken({ question, after: last.name }) : "",
      };
    },

    async deleteCollection({ name }, context) {
      const { signal } = callContext(context);
      const violations = new Violations();
      violations.require(name !== "", "name", "is required");
      violations.throwIfAny();
      await store.deleteCollection(parseCollectionName(name, "name"), signal);
      return {};
    },

    async *buildIndex(request, context) {
      const { signal } = callContext(context);
      const { collection, order } = parseIndexOrder(request);
      for await (const progress of store.buildIndex(collection, order, signal)) {
        yield progressMessage(progress);
      }
    },
  };
}

function progressMessage({
  phase,
  progress,
  elapsedMs,
  built,
}: IndexProgress): MessageInitShape<typeof BuildIndexResponseSchema> {
  const milliseconds = Math.floor(elapsedMs);
  return {
    phase,
    progress,
    elapsed: {
      seconds: BigInt(Math.floor(milliseconds / 1_000)),
      nanos: (milliseconds % 1_000) * 1_000_000,
    },
    done: built !== undefined,
    ...(built && { index: indexMessage(built, built.bytes) }),
  };
}
