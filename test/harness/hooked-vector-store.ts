import { type Client, createClient } from "@connectrpc/connect";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { type RpcServer, service, startRpcServer } from "../../shared/rpc/server.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";

type Hook = () => void | Promise<void>;

/** Stands before a real vector store, as far as ingestion asks one, so that tests can hold calls. */
export class HookedVectorStore implements AsyncDisposable {
  /** Called before a write is passed on. */
  onUpsert: Hook = () => {};
  /** Called before a deletion is passed on, and once it is done but not yet answered. */
  beforeDelete: Hook = () => {};
  afterDelete: Hook = () => {};
  readonly #transport: GrpcTransport;
  readonly #real: Client<typeof VectorStoreService>;
  #server: RpcServer | undefined;

  private constructor(address: string) {
    this.#transport = createGrpcTransport({ address });
    this.#real = createClient(VectorStoreService, this.#transport);
  }

  static async start(address: string): Promise<HookedVectorStore> {
    const hooked = new HookedVectorStore(address);
    const real = hooked.#real;
    const health = new HealthRegistry();
    const passed = ({ requestHeader }: { readonly requestHeader: Headers }) => ({
      headers: { [tenantHeader]: requestHeader.get(tenantHeader) ?? "default" },
    });
    hooked.#server = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      health,
      logger: silentLogger(),
      services: [
        service(VectorStoreService, {
          getCollection: (request, context) => real.getCollection(request, passed(context)),
          countDocuments: (request, context) => real.countDocuments(request, passed(context)),
          getDocuments: (request, context) => real.getDocuments(request, passed(context)),
          search: (request, context) => real.search(request, passed(context)),
          upsertDocuments: async (request, context) => {
            await hooked.onUpsert();
            return await real.upsertDocuments(request, passed(context));
          },
          deleteDocuments: async (request, context) => {
            await hooked.beforeDelete();
            const answer = await real.deleteDocuments(request, passed(context));
            await hooked.afterDelete();
            return answer;
          },
        }),
      ],
    });
    health.set(VectorStoreService.typeName, true);
    return hooked;
  }

  get address(): string {
    if (this.#server === undefined) throw new Error("the vector store has not been started");
    return this.#server.address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#transport.close();
  }
}
