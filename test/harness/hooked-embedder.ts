import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { silentLogger } from "../../shared/logging.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { type RpcServer, service, startRpcServer } from "../../shared/rpc/server.ts";

const dimension = 768;

/** An embedding service that tests look into: its vectors mean nothing, but the same text has the same. */
export class HookedEmbedder implements AsyncDisposable {
  /** How often each text was embedded. */
  readonly embedded = new Map<string, number>();
  /** Called before a call is answered; the answer waits for it. */
  onEmbed: (texts: readonly string[]) => void | Promise<void> = () => {};
  #server: RpcServer | undefined;

  static async start(): Promise<HookedEmbedder> {
    const embedder = new HookedEmbedder();
    const health = new HealthRegistry();
    embedder.#server = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      health,
      logger: silentLogger(),
      services: [
        service(EmbeddingService, {
          listModels: () => ({ models: [{ name: "hooked", isDefault: true, ready: true }] }),
          embed: async ({ model, texts }) => {
            await embedder.onEmbed(texts);
            for (const text of texts) {
              embedder.embedded.set(text, (embedder.embedded.get(text) ?? 0) + 1);
            }
            const embeddings = texts.map((text) => ({
              result: { case: "vector" as const, value: { values: vectorOf(text) } },
            }));
            return { model, dimension, embeddings };
          },
        }),
      ],
    });
    health.set(EmbeddingService.typeName, true);
    return embedder;
  }

  get address(): string {
    if (this.#server === undefined) throw new Error("the embedder has not been started");
    return this.#server.address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }
}

function vectorOf(text: string): number[] {
  const bytes = Buffer.from(contentHash(text), "hex");
  return Array.from({ length: dimension }, (_, at) => (bytes[at % bytes.length] ?? 0) - 127.5);
}
