import { createClient, type Transport } from "@connectrpc/connect";
import { DomainError } from "../../shared/errors.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { outgoing } from "../../shared/rpc/call-context.ts";
import { domainErrorOf } from "../../shared/rpc/peer-errors.ts";
import type { PeerCall } from "./deadline.ts";
import type { Embedder } from "./ports.ts";

const tasks = {
  document: EmbeddingTask.SEARCH_DOCUMENT,
  query: EmbeddingTask.SEARCH_QUERY,
} as const;

/** The embedding service over RPC. */
export class EmbeddingClient implements Embedder {
  readonly #client;

  constructor(transport: Transport) {
    this.#client = createClient(EmbeddingService, transport);
  }

  async embed(call: PeerCall, { model, purpose, texts }: Parameters<Embedder["embed"]>[1]) {
    try {
      const answer = await this.#client.embed(
        { model, task: tasks[purpose], texts: [...texts] },
        outgoing(call),
      );
      if (answer.embeddings.length !== texts.length || answer.model === "") {
        throw new DomainError("internal", "EMBEDDING_FAILED", "embedding gave a garbled answer");
      }
      const vectors = answer.embeddings.map(({ result }) =>
        result.case === "vector" ? result.value.values : undefined,
      );
      return { model: answer.model, vectors };
    } catch (error) {
      throw domainErrorOf(error, "embedding");
    }
  }
}
