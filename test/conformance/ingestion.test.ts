import { expect, it } from "vitest";
import { countTokens } from "../../services/ingestion/tokens.ts";
import {
  type IngestionProgress,
  IngestionStage,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { samplePrivateKeys, sampleTokens } from "../harness/sample-secrets.ts";
import { unavailable } from "./ingestion-peers.ts";
import { describeIngestion, twoParts } from "./ingestion-suite.ts";

const { COMPLETED } = IngestionStatus;

describeIngestion((scene) => {
  it("stores chunks with what is known of them", async () => {
    await scene.folder.plant({
      "docs/a.md": "# Title\n\nSome words.\n",
      "src/b.ts": "export const b = 1;\n",
      ".git/HEAD": `${"c".repeat(40)}\n`,
      ".env": "TOKEN=x",
      "photo.md": new Uint8Array([0x89, 0x50, 0, 0, 1, 2, 3]),
    });
    const seen: IngestionProgress[] = [];
    for await (const { progress } of scene.service.client.ingestRepository({
      path: scene.folder.path,
      repoId: "repo",
    })) {
      if (progress !== undefined) seen.push(progress);
    }
    expect(seen.slice(0, -1).every(({ stage }) => stage !== IngestionStage.DONE)).toBe(true);
    const last = seen.at(-1);
    expect(last).toMatchObject({
      stage: IngestionStage.DONE,
      status: COMPLETED,
      filesTotal: 3n,
      filesDone: 3n,
      filesFailed: 0n,
      chunksStored: 2n,
      chunksUnchanged: 0n,
      chunksDeleted: 0n,
      filesRead: 3n,
      chunksSplit: 2n,
      chunksEmbedded: 2n,
      filesSkipped: { excluded: 1n, secret: 1n, binary: 1n },
      skippedExamples: [
        { path: ".env", reason: "secret" },
        { path: ".git", reason: "excluded" },
        { path: "photo.md", reason: "binary" },
      ],
      errors: [],
      message: "",
    });
    expect(scene.peers.storedOf("docs/a.md")).toMatchObject([
      {
        content: "# Title\n\nSome words.",
        repoId: "repo",
        sourceSystem: "mahavishnu-ingestion",
        metadata: {
          file_path: "docs/a.md",
          start_line: 1,
          end_line: 3,
          language: "markdown",
          chunk_index: 0,
          ingestion_id: last?.ingestionId,
          commit: "c".repeat(40),
        },
      },
    ]);
    const { ingestion } = await scene.service.client.getIngestion({
      ingestionId: last?.ingestionId ?? "",
    });
    expect(ingestion).toMatchObject({
      id: last?.ingestionId,
      repoId: "repo",
      path: scene.folder.path,
      status: COMPLETED,
      progress: {
        filesDone: 3n,
        filesRead: 3n,
        chunksSplit: 2n,
        chunksEmbedded: 2n,
        filesSkipped: last?.filesSkipped,
        skippedExamples: last?.skippedExamples,
      },
    });
  });

  it("counts every file and chunk once on its way, also those that fail or are tried again", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 10 }, (_, n) => [`${n}.md`, twoParts(`# ${n}`, n === 4 ? "Bad" : "")]),
    );
    await scene.folder.plant(files);
    scene.peers.refuses = (text) => text.includes("Bad");
    let failures = 2;
    scene.peers.onUpsert = () => {
      if (failures-- > 0) unavailable();
    };
    const { chunksSplit, ...first } = await scene.run({ chunkSize: 64 });
    expect(first).toMatchObject({
      filesTotal: 10n,
      filesRead: 10n,
      filesDone: 10n,
      filesFailed: 1n,
    });
    expect(first.chunksEmbedded).toBe(chunksSplit);
    expect(first.chunksStored).toBeLessThan(chunksSplit);
    // Only the one that failed is looked at again.
    const again = await scene.run({ chunkSize: 64 });
    expect(again).toMatchObject({ filesRead: 10n, chunksStored: 0n });
    expect(again.chunksEmbedded).toBe(again.chunksSplit);
    expect(again.chunksSplit).toBe(chunksSplit - first.chunksStored);
  });

  it("tells some examples of what it passed over, of each reason", async () => {
    const many = Array.from({ length: 12 }, (_, n) => [`keys/${n}.pem`, "x"]);
    await scene.folder.plant({ ...Object.fromEntries(many), "a.xyz": "?" });
    const { filesSkipped, skippedExamples } = await scene.run();
    expect(filesSkipped).toEqual({ secret: 12n, file_type: 1n });
    expect(skippedExamples.filter(({ reason }) => reason === "secret")).toHaveLength(5);
    expect(skippedExamples).toContainEqual(
      expect.objectContaining({ path: "a.xyz", reason: "file_type" }),
    );
  });

  it("passes over files in which a token or private key stands, and says where", async () => {
    const tokens = Object.values(sampleTokens());
    const keys = samplePrivateKeys();
    const prose = "Some words that lead up to it.\n".repeat(50);
    const files = Object.fromEntries(
      [...tokens, ...keys].map((secret, n) => [`d/${n}.md`, `${prose}${secret}\n${prose}`]),
    );
    await scene.folder.plant({
      ...files,
      "clean.md": "# Clean\n",
      "sample.md": `ghp_${"x".repeat(36)}`,
    });
    const first = await scene.run();
    expect(first).toMatchObject({ status: COMPLETED, filesFailed: 0n, chunksStored: 2n });
    expect(first.filesSkipped).toEqual({ secret_found: BigInt(Object.keys(files).length) });
    const told = first.skippedExamples;
    expect(told.map(({ path }) => path).sort()).toEqual(Object.keys(files).sort());
    expect(told.every(({ detail }) => /^line 51: \w+ (token|key)$/.test(detail))).toBe(true);
    // Neither what is stored nor what is recorded or told holds any of it.
    const { rows } = await scene
      .database()
      .open()
      .query(
        "select to_jsonb(f) as row from rag_files f union all select to_jsonb(i) from rag_ingestions i",
      );
    const all = JSON.stringify([
      rows,
      [...scene.peers.documents.values()].map((one) => one.content),
    ]);
    for (const secret of [...tokens, ...keys]) {
      for (const word of secret.match(/[\w/+-]{16,}/g) ?? []) expect(all).not.toContain(word);
    }
    // They are known, and told again.
    const second = await scene.run();
    expect(second).toMatchObject({ chunksStored: 0n, filesSkipped: first.filesSkipped });
    expect(second.skippedExamples).toEqual(told);
    // One that is cleaned is taken in; one that gets a token loses what it had.
    await scene.folder.plant({ "d/0.md": prose, "clean.md": `# Clean\n\n${tokens[2]}\n` });
    expect(await scene.run()).toMatchObject({ chunksStored: 1n, chunksDeleted: 1n });
    expect(scene.peers.storedOf("clean.md")).toEqual([]);
    expect(scene.peers.storedOf("d/0.md")).toHaveLength(1);
  });

  it("makes chunks of 1,024 tokens that share up to 20, where nothing else is asked for", async () => {
    const lines = Array.from({ length: 600 }, (_, n) => `Line ${n} tells of ships and harbours.`);
    await scene.folder.plant({ "a.txt": lines.join("\n") });
    const { slowest, busy } = await scene.run();
    // Each part of the work tells how long it was at it, and which one sets the pace.
    expect(Object.keys(busy).sort()).toEqual(["embed", "read", "split", "store"]);
    expect(Object.keys(busy)).toContain(slowest);
    const contents = scene.peers.storedOf("a.txt").map(({ content = "" }) => content);
    expect(contents.length).toBeGreaterThan(3);
    for (const [index, content] of contents.entries()) {
      expect(countTokens(content)).toBeLessThanOrEqual(1_024);
      const before = contents[index - 1];
      if (before === undefined) continue;
      expect(countTokens(before)).toBeGreaterThan(900);
      const shared = before.slice(before.indexOf(content.split("\n", 1)[0] ?? ""));
      expect(content.startsWith(shared)).toBe(true);
      expect(countTokens(shared)).toBeGreaterThan(0);
      expect(countTokens(shared)).toBeLessThanOrEqual(20);
    }
  });
});
