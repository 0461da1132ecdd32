import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import {
  IngestionStage,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { unavailable } from "./ingestion-peers.ts";
import { describeIngestion } from "./ingestion-suite.ts";

const { COMPLETED, FAILED } = IngestionStatus;

describeIngestion((scene) => {
  it("fails a file whose text is refused, alone, and keeps what it had", async () => {
    await scene.folder.plant({ "a.md": "# A\n", "b.md": "# B\n" });
    await scene.run();
    await scene.folder.plant({ "a.md": "# Poison\n", "c.md": "# C\n" });
    scene.peers.refuses = (text) => text.includes("Poison");
    expect(await scene.run()).toMatchObject({
      status: COMPLETED,
      filesTotal: 3n,
      filesDone: 3n,
      filesFailed: 1n,
      chunksStored: 1n,
      chunksDeleted: 0n,
      errors: [{ path: "a.md", error: { code: Code.InvalidArgument, message: "refused" } }],
    });
    expect(scene.peers.storedOf("a.md")).toMatchObject([{ content: "# A" }]);
    scene.peers.refuses = () => false;
    expect(await scene.run()).toMatchObject({
      filesFailed: 0n,
      chunksStored: 1n,
      chunksDeleted: 1n,
    });
  });

  it("waits for a peer that comes back", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    let failures = 3;
    scene.peers.onEmbed = () => {
      if (failures-- > 0) unavailable();
    };
    expect(await scene.run()).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("fails when a peer stays away, records why, and goes on from there next time", async () => {
    await scene.service[Symbol.asyncDispose]();
    scene.service = await scene.start({
      MAHAVISHNU_INGESTION_PATIENCE_MS: "0",
      MAHAVISHNU_INGESTION_EMBED_BATCH: "4",
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "1",
    });
    await scene.folder.plant(
      Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}.md`, `# File ${n}\n`])),
    );
    let embedded = 0;
    scene.peers.onEmbed = () => {
      if (++embedded > 2) unavailable();
    };
    const failed = await scene.run();
    expect(failed).toMatchObject({ status: FAILED, stage: IngestionStage.DONE, chunksStored: 8n });
    expect(failed.message).toMatch(/embedding/);
    const { ingestion } = await scene.service.client.getIngestion({
      ingestionId: failed.ingestionId,
    });
    expect(ingestion).toMatchObject({ status: FAILED, progress: { message: failed.message } });
    scene.peers.onEmbed = () => {};
    expect(await scene.run()).toMatchObject({ chunksStored: 12n, chunksUnchanged: 8n });
    expect(scene.peers.documents.size).toBe(20);
  });

  it("cleans up after a run that stored chunks and never recorded them", async () => {
    await scene.folder.plant({ "a.md": "# Before\n" });
    await scene.run();
    // A process died between the write and its record.
    await scene
      .database()
      .open()
      .query("update rag_files set pending_ids = '{lost}' where tenant = $1", [scene.tenant]);
    const [before] = scene.peers.documents.values();
    if (before === undefined) throw new Error("nothing is stored");
    scene.peers.documents.set(`${scene.tenant}/lost`, { ...before, id: "lost" });
    await scene.folder.plant({ "a.md": "# After\n" });
    expect(await scene.run()).toMatchObject({ status: COMPLETED, chunksDeleted: 2n });
    expect(scene.peers.storedOf("a.md")).toMatchObject([{ content: "# After" }]);
  });

  it("sets files aside that a peer does not take while it takes others", async () => {
    await scene.service[Symbol.asyncDispose]();
    scene.service = await scene.start({ MAHAVISHNU_INGESTION_PATIENCE_MS: "0" });
    const files = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}.md`, `# ${n}\n`]));
    await scene.folder.plant({ ...files, "poison.md": "# Poison\n" });
    scene.peers.onEmbed = (texts) => {
      if (texts.some((text) => text.includes("Poison"))) unavailable();
    };
    expect(await scene.run()).toMatchObject({
      status: COMPLETED,
      filesDone: 21n,
      filesFailed: 1n,
      chunksStored: 20n,
      errors: [{ path: "poison.md", error: { code: Code.Unavailable } }],
    });
  });
});
