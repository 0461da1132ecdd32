import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import {
  type IngestionProgress,
  IngestionStage,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { newId } from "../../shared/ids.ts";
import { describeIngestion } from "./ingestion-suite.ts";

const { COMPLETED, FAILED, CANCELLED } = IngestionStatus;

describeIngestion((scene) => {
  it("hands back what runs when the process stops, and the next one goes on with it", async () => {
    await scene.folder.plant({ "a.md": "# A\n", "b.md": "# B\n" });
    await scene.service[Symbol.asyncDispose]();
    scene.service = await scene.start({
      MAHAVISHNU_INGESTION_EMBED_BATCH: "1",
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "1",
    });
    let batches = 0;
    const reached = Promise.withResolvers<void>();
    scene.peers.onEmbed = () => {
      if (++batches === 1) return;
      reached.resolve();
      return new Promise(() => {});
    };
    const running = scene.run();
    await Promise.all([
      expect(running).rejects.toMatchObject({ code: Code.Unavailable }),
      reached.promise.then(() => scene.service[Symbol.asyncDispose]()),
    ]);
    scene.peers.onEmbed = () => {};
    scene.service = await scene.start();
    const { ingestions } = await scene.service.client.listIngestions({});
    expect(ingestions).toHaveLength(1);
    const last = await scene.followed(ingestions[0]?.id ?? "");
    // What the first process stored counts as stored by this ingestion.
    expect(last).toMatchObject({ status: COMPLETED, chunksStored: 2n, chunksUnchanged: 0n });
    expect(scene.peers.calls.embeddedTexts).toBe(2);
  });

  it("goes on with what a dead process was working on", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const dead = newId();
    await scene
      .database()
      .open()
      .query(
        `insert into rag_ingestions
         (tenant, id, repo_id, path, settings, status, lease_token, lease_until)
       values ($1, $2, 'repo', $3, $4, 'in_progress', 'x', now() - interval '1 second')`,
        [
          scene.tenant,
          dead,
          scene.folder.path,
          JSON.stringify({ include: [], exclude: [], chunkSize: 512, chunkOverlap: 0 }),
        ],
      );
    expect(await scene.followed(dead)).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("ends what nobody can go on with", async () => {
    const ids = { deletion: newId(), documents: newId(), cancelled: newId() };
    const insert = (id: string, kind: string, cancelled: boolean) =>
      scene
        .database()
        .open()
        .query(
          `insert into rag_ingestions
             (tenant, id, repo_id, kind, path, status, lease_token, lease_until, cancel_requested)
           values ($1, $2, $2, $3, '/', 'in_progress', 'x', now() - interval '1 second', $4)`,
          [scene.tenant, id, kind, cancelled],
        );
    await insert(ids.deletion, "deletion", false);
    await insert(ids.documents, "documents", false);
    await insert(ids.cancelled, "folder", true);
    const statusOf = async (ingestionId: string) => {
      for await (const { progress } of scene.service.client.watchIngestion({ ingestionId })) {
        if (progress?.stage === IngestionStage.DONE) return progress.status;
      }
      return undefined;
    };
    expect(await statusOf(ids.deletion)).toBe(FAILED);
    expect(await statusOf(ids.documents)).toBe(FAILED);
    expect(await statusOf(ids.cancelled)).toBe(CANCELLED);
  });

  it("lets ingestions wait for their turn", async () => {
    await scene.service[Symbol.asyncDispose]();
    scene.service = await scene.start({ MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "1" });
    await scene.folder.plant({ "a.md": "# A\n" });
    const { running, release } = await scene.runHeld();
    const waiting = scene.run({ repoId: "second" });
    const stop = new AbortController();
    const third = scene.service.client.ingestRepository(
      { path: scene.folder.path, repoId: "third" },
      { signal: stop.signal },
    );
    let pending: IngestionProgress | undefined;
    await expect(
      (async () => {
        for await (const { progress } of third) {
          pending = progress;
          stop.abort();
        }
      })(),
    ).rejects.toMatchObject({ code: Code.Canceled });
    expect(pending).toMatchObject({ status: IngestionStatus.PENDING });
    release();
    expect(await running).toMatchObject({ status: COMPLETED });
    expect(await waiting).toMatchObject({ status: COMPLETED });
  });
});
