import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  type Embedding,
  EmbeddingService,
} from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { outgoing } from "../../shared/rpc/call-context.ts";
import type { GrpcTransport } from "../../shared/rpc/client.ts";
import { type EmbeddedText, type Embedder, UnknownModelError } from "./vector-indexing.ts";

/** Session-Buddy's records belong to no tenant. */
const tenant = "default";

/** Codes after which the same text may succeed. */
const passing: ReadonlySet<number> = new Set([
  Code.Unavailable,
  Code.ResourceExhausted,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
]);

/** The embedding service as an Embedder. */
export function createEmbedder(transport: GrpcTransport): Embedder {
  const client = createClient(EmbeddingService, transport);
  return {
    async embed(model, texts, signal) {
      try {
        const answer = await client.embed(
          { model, task: EmbeddingTask.SEARCH_DOCUMENT, texts: [...texts] },
          outgoing({ tenant, signal }),
        );
        return { model: answer.model, texts: answer.embeddings.map(embeddedText) };
      } catch (error) {
        if (error instanceof ConnectError && error.code === Code.NotFound) {
          throw new UnknownModelError(`no provider serves "${model}"`, { cause: error });
        }
        throw error;
      }
    },
  };
}

function embeddedText({ result }: Embedding): EmbeddedText {
  if (result.case === "vector") return { vector: result.value.values };
  if (result.case === "error" && passing.has(result.value.code)) return { refused: "passing" };
  return { refused: "lasting" };
}
