import { timestampNow } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createApp } from "../../services/vector-store/app.ts";
import { readConfig } from "../../services/vector-store/config.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("a vector store that runs", (_, database) => {
  let stack: AsyncDisposableStack;
  let observer: Postgres;

  beforeAll(() => {
    stack = new AsyncDisposableStack();
    observer = database().open({ poolSize: 2 });
  });
  afterAll(() => stack.disposeAsync());

  async function start() {
    const config = readConfig({
      env: {
        MAHAVISHNU_PG_URL: database().url,
        MAHAVISHNU_VECTOR_STORE_PORT: "0",
        MAHAVISHNU_VECTOR_STORE_PROBE_INTERVAL_MS: "20",
        MAHAVISHNU_VECTOR_STORE_SWEEP_INTERVAL_MS: "20",
        MAHAVISHNU_SHUTDOWN_GRACE_MS: "1000",
      },
      file: {},
    });
    const app = stack.use(await createApp(config, { logger: silentLogger() }));
    const transport = stack.use(createGrpcTransport({ address: app.address }));
    const watch = createClient(Health, transport).watch({ service: VectorStoreService.typeName });
    for await (const { status } of watch) {
      if (status === HealthCheckResponse_ServingStatus.SERVING) break;
    }
    return createClient(VectorStoreService, transport);
  }

  test("removes what has expired, and nothing else", async () => {
    const client = await start();
    const { seconds, nanos } = timestampNow();
    const document = (id: string, lives: bigint) => ({
      id,
      content: `content of ${id}`,
      memoryType: MemoryType.RAG,
      sourceSystem: "test",
      expireTime: { seconds: seconds + lives, nanos },
    });
    await client.upsertDocuments({ documents: [document("short", 1n), document("long", 600n)] });
    const rows = async () => {
      const { rows } = await observer.query<{ id: string }>("select id from memories order by id");
      return rows.map(({ id }) => id);
    };
    expect(await rows()).toEqual(["long", "short"]);
    for (let tries = 0; tries < 200 && (await rows()).length > 1; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await rows()).toEqual(["long"]);
  });
});
