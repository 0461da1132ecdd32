import type { Client } from "@connectrpc/connect";
import { DependencyUnavailableError } from "../../shared/errors.ts";
import type { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask as ProtoTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { callPeer, failureOf } from "./peer-client.ts";
import type { Embedded, Embedder, EmbeddingTask, Work } from "./ports.ts";

/** Bound of calls whose caller has none. A slow model may take minutes for a batch of long texts. */
const embedTimeoutMs = 300_000;

/** The embedding service. */
export class GrpcEmbedder implements Embedder {
  readonly #client: Client<typeof EmbeddingService>;

  constructor(client: Client<typeof EmbeddingService>) {
    this.#client = client;
  }

  async defaultModel(work: Work): Promise<string> {
    const { models } = await callPeer("embedding", work, embedTimeoutMs, (options) =>
      this.#client.listModels({}, options),
    );
    const model = models.find(({ isDefault }) => isDefault);
    if (model === undefined) {
      throw new DependencyUnavailableError("embedding", "embedding has no default model");
    }
    return model.name;
  }

  async embed(
    work: Work,
    model: string,
    task: EmbeddingTask,
    texts: readonly string[],
  ): Promise<readonly Embedded[]> {
    const request = {
      model,
      task: task === "search_query" ? ProtoTask.SEARCH_QUERY : ProtoTask.SEARCH_DOCUMENT,
      texts: [...texts],
    };
    const { embeddings } = await callPeer("embedding", work, embedTimeoutMs, (options) =>
      this.#client.embed(request, options),
    );
    return embeddings.map(({ result }): Embedded => {
      if (result.case === "vector") return { vector: result.value.values };
      return { failure: failureOf(result.value) };
    });
  }
}
