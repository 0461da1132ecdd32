import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type {
  IngestDocumentsRequest,
  IngestDocumentsResponse,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { newId } from "../../shared/ids.ts";
import { docxOf, pdfOf } from "../harness/office-documents.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { FakePeers } from "./ingestion-peers.ts";
import { createFolder, ingest, startIngestion, type TestIngestion } from "./ingestion-service.ts";

const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

type Sent = Partial<Omit<IngestDocumentsRequest, "$typeName" | "content">> & {
  readonly content?: string | Uint8Array;
};

describeEachStore("ingestion of documents", (_, database) => {
  let peers: FakePeers;
  let service: TestIngestion;
  let tenant: string;

  beforeEach(async () => {
    await database().truncate();
    tenant = newId();
    peers = new FakePeers();
    service = await startIngestion(database().url, peers, {}, tenant);
  });
  afterEach(() => service[Symbol.asyncDispose]());

  const requestOf = ({ content = "", ...rest }: Sent) => ({
    ...rest,
    content: typeof content === "string" ? new TextEncoder().encode(content) : content,
  });

  async function send(documents: readonly Sent[], repoId = "docs") {
    const requests = (async function* () {
      for (const [index, one] of documents.entries()) {
        yield requestOf(index === 0 ? { repoId, ...one } : one);
      }
    })();
    const answers: IngestDocumentsResponse[] = [];
    for await (const answer of service.client.ingestDocuments(requests)) answers.push(answer);
    return answers;
  }

  const byUri = (answers: readonly IngestDocumentsResponse[]) =>
    new Map(answers.map((answer) => [answer.uri, answer]));

  it("stores each and says so, with what is known of it", async () => {
    const answers = byUri(
      await send([
        { uri: "a.md", content: "# A\n\nwords", metadata: { author: "me", file_path: "lie" } },
        { uri: "b", content: "<h1>B</h1>", mediaType: "text/html" },
        { uri: "c.pdf", content: pdfOf("Hello page") },
        { uri: "d.docx", content: docxOf("D", ["text"]) },
        { uri: "e", content: "def f(): pass", mediaType: "text/x-python" },
        { uri: "f", content: '{"f": [1, 2]}', mediaType: "application/json" },
        { uri: "src/g.ts", content: "export const g = 1;" },
        {
          uri: "h",
          content: Uint8Array.from(Buffer.from("Grüße", "latin1")),
          mediaType: "text/plain; charset=iso-8859-1",
        },
        { uri: "i.html", content: "<p>I</p><script>no()</script>" },
      ]),
    );
    expect(answers.size).toBe(9);
    for (const answer of answers.values()) {
      expect(answer).toMatchObject({ chunksStored: 1, chunksUnchanged: 0 });
    }
    expect(peers.storedOf("a.md")).toMatchObject([
      {
        content: "# A\n\nwords",
        repoId: "docs",
        metadata: { author: "me", file_path: "a.md", start_line: 1, end_line: 3 },
      },
    ]);
    expect(peers.storedOf("b")).toMatchObject([{ content: "# B" }]);
    expect(peers.storedOf("c.pdf")).toMatchObject([{ content: "Hello page" }]);
    expect(peers.storedOf("d.docx")).toMatchObject([{ content: "# D\n\ntext" }]);
    expect(peers.storedOf("e")).toMatchObject([{ metadata: { language: "python" } }]);
    expect(peers.storedOf("f")).toMatchObject([
      { content: '{"f": [1, 2]}', metadata: { language: "json" } },
    ]);
    expect(peers.storedOf("src/g.ts")).toMatchObject([{ metadata: { language: "typescript" } }]);
    expect(peers.storedOf("h")).toMatchObject([{ content: "Grüße" }]);
    expect(peers.storedOf("i.html")).toMatchObject([{ content: "I" }]);
    const { ingestions } = await service.client.listIngestions({ repoId: "docs" });
    expect(ingestions).toMatchObject([
      {
        path: "",
        status: IngestionStatus.COMPLETED,
        progress: {
          filesTotal: 9n,
          filesRead: 9n,
          filesDone: 9n,
          chunksSplit: 9n,
          chunksEmbedded: 9n,
          chunksStored: 9n,
        },
      },
    ]);
  });

  it("takes what is there already for a hash, and replaces what has changed", async () => {
    const documents = [
      { uri: "a", content: "first" },
      { uri: "b", content: "second" },
    ];
    await send(documents);
    const { embeddedTexts, upsert } = peers.calls;
    for (const answer of await send(documents)) {
      expect(answer).toMatchObject({ chunksStored: 0, chunksUnchanged: 1 });
    }
    expect(peers.calls).toMatchObject({ embeddedTexts, upsert });
    await send([{ uri: "a", content: "third" }]);
    expect(peers.storedOf("a")).toMatchObject([{ content: "third" }]);
    expect(peers.storedOf("b")).toMatchObject([{ content: "second" }]);
    await send([{ uri: "a", content: "third", metadata: { kept: true } }]);
    expect(peers.storedOf("a")).toMatchObject([{ content: "third", metadata: { kept: true } }]);
    expect(await send([{ uri: "a" }])).toMatchObject([{ uri: "a", chunksStored: 0 }]);
    expect(peers.storedOf("a")).toEqual([]);
    peers.documents.clear();
    expect(await send([{ uri: "b", content: "second" }])).toMatchObject([{ chunksStored: 1 }]);
  });

  it("answers bad documents one by one, and stores the others", async () => {
    peers.refuses = (text) => text.includes("refused");
    const answers = byUri(
      await send([
        { uri: "good", content: "words" },
        { uri: "", content: "words" },
        { uri: "type", content: "words", mediaType: "image/png" },
        { uri: "pdf", content: "no pdf", mediaType: "application/pdf" },
        { uri: "docx", content: "PK no archive", mediaType: docx },
        { uri: "json", content: "{", mediaType: "application/json" },
        { uri: "large", content: "x".repeat(8 * 1024 * 1024 + 1) },
        { uri: "other", content: "words", repoId: "another" },
        { uri: "nul\0", content: "words" },
        { uri: "embedder", content: "refused" },
        { uri: "last", content: "words" },
      ]),
    );
    const invalid = (field: string) => ({ error: { code: Code.InvalidArgument, field } });
    expect(answers.get("good")?.error).toBeUndefined();
    expect(answers.get("last")?.error).toBeUndefined();
    expect(answers.get("")).toMatchObject(invalid("uri"));
    expect(answers.get("nul\0")).toMatchObject(invalid("uri"));
    expect(answers.get("type")).toMatchObject(invalid("media_type"));
    expect(answers.get("pdf")).toMatchObject(invalid("content"));
    expect(answers.get("docx")).toMatchObject(invalid("content"));
    expect(answers.get("json")).toMatchObject(invalid("content"));
    expect(answers.get("large")).toMatchObject(invalid("content"));
    expect(answers.get("other")).toMatchObject(invalid("repo_id"));
    expect(answers.get("embedder")).toMatchObject({ error: { code: Code.InvalidArgument } });
    expect(peers.documents.size).toBe(2);
  });

  it("refuses a stream that names no repository", async () => {
    await expect(send([{ uri: "a", content: "x" }], "")).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
    expect((await service.client.listIngestions({})).ingestions).toEqual([]);
  });

  it("answers each before it needs the next, and takes one uri in the order it came", async () => {
    const answered: string[] = [];
    const wake: (() => void)[] = [];
    const requests = (async function* () {
      for (let n = 0; n < 5; n++) {
        yield requestOf({ repoId: "docs", uri: "same", content: `edition ${n}` });
        while (answered.length <= n) await new Promise<void>((resolve) => wake.push(resolve));
      }
    })();
    for await (const { uri } of service.client.ingestDocuments(requests)) {
      answered.push(uri);
      for (const resolve of wake.splice(0)) resolve();
    }
    expect(answered).toHaveLength(5);
    const editions = Array.from({ length: 20 }, (_, n) => ({ uri: "same", content: `late ${n}` }));
    await send(editions);
    expect(peers.storedOf("same")).toMatchObject([{ content: "late 19" }]);
  });

  it("holds the sender back while the embedder is busy", async () => {
    const held = Promise.withResolvers<void>();
    peers.onEmbed = () => held.promise;
    // Cheap to take apart.
    const mebibyte = " ".repeat(1024 * 1024);
    const total = 80;
    let sent = 0;
    const requests = (async function* () {
      for (; sent < total; sent++) {
        yield requestOf({ repoId: "docs", uri: `${sent}`, content: `${sent}${mebibyte}.` });
      }
    })();
    const answers = (async () => {
      let count = 0;
      for await (const _ of service.client.ingestDocuments(requests)) count++;
      return count;
    })();
    // It comes to rest long before all is sent.
    for (let still = 0, last = -1; still < 10; last = sent) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      still = sent === last ? still + 1 : 0;
    }
    expect(sent).toBeLessThan(total);
    held.resolve();
    expect(await answers).toBe(total);
  }, 120_000);

  it("goes on after a lost connection where the client sends all again", async () => {
    const documents = Array.from({ length: 30 }, (_, n) => ({
      uri: `doc-${n}`,
      content: `words of ${n}`,
    }));
    const stop = new AbortController();
    const requests = (async function* () {
      for (const one of documents) yield requestOf({ repoId: "docs", ...one });
      // It never says that this was all.
      await new Promise(() => {});
    })();
    const acknowledged = new Set<string>();
    await expect(
      (async () => {
        const call = service.client.ingestDocuments(requests, { signal: stop.signal });
        for await (const { uri } of call) {
          acknowledged.add(uri);
          if (acknowledged.size === 10) stop.abort();
        }
      })(),
    ).rejects.toMatchObject({ code: Code.Canceled });
    for (const uri of acknowledged) expect(peers.storedOf(uri)).toHaveLength(1);
    const again = await send(documents);
    expect(again).toHaveLength(30);
    for (const answer of again) expect(answer.error).toBeUndefined();
    for (const answer of again) {
      if (acknowledged.has(answer.uri)) expect(answer).toMatchObject({ chunksUnchanged: 1 });
    }
    expect(peers.documents.size).toBe(30);
  });

  it("is beside a folder's ingestion in one repository, and neither removes the other's", async () => {
    await using folder = await createFolder();
    await folder.plant({ "a.md": "# From the folder\n" });
    await send([{ uri: "sent.md", content: "# Sent\n" }]);
    const run = () => ingest(service.client, { path: folder.path, repoId: "docs" });
    expect(await run()).toMatchObject({ chunksStored: 1n, chunksDeleted: 0n });
    expect(peers.documents.size).toBe(2);
    expect(await run()).toMatchObject({ chunksStored: 0n, chunksUnchanged: 1n });
    const { deletedChunks } = await service.client.deleteRepository({ repoId: "docs" });
    expect(deletedChunks).toBe(2n);
    expect(peers.documents.size).toBe(0);
  });

  it("ends when it is cancelled, and is in the way of a deletion until then", async () => {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    peers.onEmbed = () => {
      reached.resolve();
      return held.promise;
    };
    const sending = send([{ uri: "a", content: "x" }]);
    sending.catch(() => {});
    await reached.promise;
    const { ingestions } = await service.client.listIngestions({ repoId: "docs" });
    await expect(service.client.deleteRepository({ repoId: "docs" })).rejects.toMatchObject({
      code: Code.Aborted,
    });
    const ingestionId = ingestions[0]?.id ?? "";
    const { ingestion } = await service.client.cancelIngestion({ ingestionId });
    expect(ingestion).toMatchObject({ status: IngestionStatus.CANCELLED });
    await expect(sending).rejects.toMatchObject({ code: Code.Aborted });
    held.resolve();
    await service.client.deleteRepository({ repoId: "docs" });
  });

  it("answers what it has read when the process stops, and then says so", async () => {
    const answered: string[] = [];
    const requests = (async function* () {
      yield requestOf({ repoId: "docs", uri: "a", content: "x" });
      await new Promise(() => {});
    })();
    const ended = (async () => {
      for await (const { uri } of service.client.ingestDocuments(requests)) {
        answered.push(uri);
        void service[Symbol.asyncDispose]();
      }
    })();
    await expect(ended).rejects.toMatchObject({ code: Code.Unavailable });
    expect(answered).toEqual(["a"]);
    service = await startIngestion(database().url, peers, {}, tenant);
  });
});
