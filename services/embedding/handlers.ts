import type { ServiceImpl } from "@connectrpc/connect";
import type {
  BulkEmbedRequest,
  EmbeddingService,
} from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import type { BulkItem } from "./bulk-embedding.ts";
import {
  type BulkHead,
  bulkHead,
  bulkItems,
  bulkResponse,
  embedOrder,
  embedResponse,
  modelMessage,
} from "./convert.ts";
import type { EmbeddingDesk } from "./embedding-desk.ts";
import type { ModelCatalog } from "./model-catalog.ts";

export interface HandlerParts {
  readonly desk: EmbeddingDesk;
  readonly catalog: Pick<ModelCatalog, "list">;
}

export function createHandlers({
  desk,
  catalog,
}: HandlerParts): ServiceImpl<typeof EmbeddingService> {
  return {
    embed: async (request, context) =>
      embedResponse(await desk.embed(embedOrder(request), context.signal)),

    async *bulkEmbed(requests, context) {
      const messages = requests[Symbol.asyncIterator]();
      const first = await messages.next();
      if (first.done) return;
      const head = bulkHead(first.value);
      const order = { ...head, items: itemsOf(first.value, messages, head) };
      for await (const receipt of desk.embedBulk(order, context.signal)) {
        yield bulkResponse(receipt);
      }
    },

    listModels: () => ({ models: catalog.list().map(modelMessage) }),
  };
}

/** The items of a stream whose first message has been read to learn what the stream is about. */
async function* itemsOf(
  first: BulkEmbedRequest,
  rest: AsyncIterator<BulkEmbedRequest>,
  head: BulkHead,
): AsyncGenerator<readonly BulkItem[]> {
  yield bulkItems(first, head);
  for (let next = await rest.next(); !next.done; next = await rest.next()) {
    yield bulkItems(next.value, head);
  }
}
