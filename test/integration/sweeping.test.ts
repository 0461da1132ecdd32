import { timestampNow } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startedClient } from "../../services/vector-store/testing/running-store.ts";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("a vector store that runs", (_, database) => {
  let stack: AsyncDisposableStack;
  let observer: Postgres;

  beforeAll(() => {
    stack = new AsyncDisposableStack();
    observer = database().open({ poolSize: 2 });
  });
  afterAll(() => stack.disposeAsync());

  test("removes what has expired, and nothing else", async () => {
    const client = await startedClient(stack, database().url, {
      MAHAVISHNU_VECTOR_STORE_SWEEP_INTERVAL_MS: "20",
    });
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
