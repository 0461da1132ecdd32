import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type { IngestDocumentsResponse } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { IngestionScene } from "../harness/ingestion-scene.ts";
import { describeEachStore } from "../harness/postgres.ts";

const limit = 120_000;
const mebibyte = 1024 * 1024;

describeEachStore("a stream of documents whose service dies", (_, database) => {
  let postgres: Postgres | undefined;
  let scene: IngestionScene;

  beforeEach(async () => {
    postgres ??= database().open({ poolSize: 1 });
    await postgres.query("truncate rag_ingestions, rag_files, memories cascade");
    scene = await IngestionScene.open(database().url);
  }, limit);
  afterEach(() => scene[Symbol.asyncDispose]());

  interface Sent {
    readonly uri: string;
    readonly content: string;
  }

  /** Sends what there is and waits for the answers, as a client does; `onAnswer` may end all. */
  async function send(
    documents: Iterable<Sent>,
    onAnswer: (answer: IngestDocumentsResponse) => unknown = () => {},
  ): Promise<void> {
    const requests = (async function* () {
      for (const { uri, content } of documents) {
        yield { repoId: "docs", uri, content: new TextEncoder().encode(content) };
      }
    })();
    for await (const answer of scene.process.client.ingestDocuments(requests)) onAnswer(answer);
  }

  async function stored(): Promise<{ path: string; content: string }[]> {
    if (postgres === undefined) throw new Error("the database is not open");
    const { rows } = await postgres.query<{ path: string; content: string }>(
      "select metadata ->> 'file_path' as path, content from memories order by 1, 2",
    );
    return rows;
  }

  it(
    "loses nothing that it answered, and stores nothing twice where the client sends the rest again",
    async () => {
      const documents = Array.from({ length: 120 }, (_, n) => ({
        uri: `doc-${String(n).padStart(3, "0")}`,
        content: `words of ${n}`,
      }));
      const answered = new Set<string>();
      for (let deaths = 0; deaths < 3; deaths++) {
        // Some batches pass; the next ones are on their way when it dies.
        const { reached, release } = scene.holdAfter(4);
        const dying = reached.then(() => scene.process.end("SIGKILL"));
        const rest = documents.filter(({ uri }) => !answered.has(uri));
        const sending = send(rest, ({ uri, error }) => {
          expect(error).toBeUndefined();
          answered.add(uri);
        });
        await expect(sending).rejects.toMatchObject({ code: Code.Unavailable });
        await dying;
        release();
        const there = await stored();
        const paths = new Set(there.map(({ path }) => path));
        expect([...answered].filter((uri) => !paths.has(uri))).toEqual([]);
        expect(there).toHaveLength(paths.size);
        await scene.start();
      }
      expect(answered.size).toBeGreaterThan(0);
      expect(answered.size).toBeLessThan(documents.length);
      // All of them, answered or not: who is known costs a hash.
      const outcomes = new Map<string, IngestDocumentsResponse>();
      await send(documents, (answer) => {
        expect(outcomes.has(answer.uri)).toBe(false);
        outcomes.set(answer.uri, answer);
      });
      expect(outcomes.size).toBe(documents.length);
      for (const [uri, answer] of outcomes) {
        expect(answer.error).toBeUndefined();
        if (answered.has(uri)) {
          expect(answer).toMatchObject({ chunksStored: 0, chunksUnchanged: 1 });
        }
      }
      expect(await stored()).toEqual(documents.map(({ uri, content }) => ({ path: uri, content })));
    },
    limit,
  );

  it(
    "has the last edition of a document, whichever of them was under way as it died",
    async () => {
      await send([{ uri: "same", content: "edition 0" }]);
      const { reached, release } = scene.holdAfter(0);
      const dying = reached.then(() => scene.process.end("SIGKILL"));
      const editions = (n: number) => ({ uri: "same", content: `edition ${n}` });
      await expect(send([1, 2, 3].map(editions))).rejects.toMatchObject({ code: Code.Unavailable });
      await dying;
      release();
      expect(await stored()).toEqual([{ path: "same", content: "edition 0" }]);
      await scene.start();
      await send([1, 2, 3].map(editions));
      expect(await stored()).toEqual([{ path: "same", content: "edition 3" }]);
      // The stream that died is recorded as failed once its lease has lapsed.
      const statuses = async () =>
        (await scene.process.client.listIngestions({ repoId: "docs" })).ingestions.map(
          ({ status }) => status,
        );
      const { COMPLETED, FAILED } = IngestionStatus;
      for (let tries = 0; tries < 300 && !(await statuses()).includes(FAILED); tries++) {
        await sleep(50);
      }
      expect(await statuses()).toEqual([COMPLETED, FAILED, COMPLETED]);
    },
    limit,
  );

  it(
    "holds a sender back while the embedder is slow, and goes on where the sender left off",
    async () => {
      const { reached, release } = scene.holdAfter(0);
      const total = 160;
      let sent = 0;
      const documents = (function* () {
        for (; sent < total; sent++) {
          yield { uri: `${sent}`, content: `${sent}${" ".repeat(mebibyte)}.` };
        }
      })();
      let answers = 0;
      const sending = send(documents, () => answers++);
      await reached;
      for (let still = 0, last = -1; still < 10; last = sent) {
        await sleep(100);
        still = sent === last ? still + 1 : 0;
      }
      // 16 MiB that wait, two batches of 4 MiB, and what is under way on both sides.
      expect(sent).toBeLessThan(48);
      expect(answers).toBe(0);
      release();
      await sending;
      expect(answers).toBe(total);
    },
    limit,
  );
});
