import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endless } from "../../test/harness/endless-text.ts";
import { chunkText } from "./chunking.ts";
import { DocumentSplitter } from "./document-splitter.ts";
import { FolderThreads, type SplitOrder } from "./folder-reader.ts";
import { planChunk } from "./planned-file.ts";

const never = new AbortController().signal;
let threads: FolderThreads;

beforeEach(() => {
  threads = new FolderThreads({ maxFileBytes: 2 * 1024 * 1024 });
});
afterEach(() => threads[Symbol.asyncDispose]());

function orderOf(text: string): SplitOrder {
  const key = { tenant: "t", repoId: "r" };
  return { key, path: "a.md", text, family: "markdown", chunkSize: 64, chunkOverlap: 8 };
}

describe("DocumentSplitter", () => {
  it("splits as files are split, several documents at a time", async () => {
    const splitter = new DocumentSplitter(threads);
    const texts = Array.from(
      { length: 12 },
      (_, n) => `# ${n}\n\n${`Words of ${n}. `.repeat(150)}`,
    );
    const split = await Promise.all(texts.map((text) => splitter.split(orderOf(text), never)));
    for (const [index, text] of texts.entries()) {
      const order = orderOf(text);
      const chunks = await chunkText(text, order);
      expect(chunks.length).toBeGreaterThan(1);
      expect(split[index]).toEqual(chunks.map((chunk) => planChunk(order.key, "a.md", chunk)));
    }
  });

  it("fails a document alone that takes too long", async () => {
    const splitter = new DocumentSplitter(threads, { threads: 2, limitMs: 3_000 });
    const slow = splitter.split(orderOf(endless()), never);
    const quick = [
      splitter.split(orderOf("# A\n"), never),
      splitter.split(orderOf("# B\n"), never),
    ];
    await expect(slow).rejects.toThrow("the thread is gone");
    expect((await Promise.all(quick)).map((chunks) => chunks.length)).toEqual([1, 1]);
    expect(await splitter.split(orderOf("# C\n"), never)).toHaveLength(1);
  }, 60_000);

  it("waits for nothing once it is told to stop, and takes up the next", async () => {
    const splitter = new DocumentSplitter(threads, { threads: 1, limitMs: 60_000 });
    const stop = new AbortController();
    const slow = splitter.split(orderOf(endless()), stop.signal);
    const waiting = splitter.split(orderOf("# A\n"), stop.signal);
    const other = splitter.split(orderOf("# B\n"), never);
    stop.abort(new Error("stop"));
    await expect(slow).rejects.toThrow("stop");
    await expect(waiting).rejects.toThrow("stop");
    expect(await other).toHaveLength(1);
  }, 60_000);

  it("does not wait for another one's turn once it is told to stop", async () => {
    const splitter = new DocumentSplitter(threads, { threads: 1, limitMs: 60_000 });
    const [stop, stopOther] = [new AbortController(), new AbortController()];
    const slow = splitter.split(orderOf(endless()), stopOther.signal);
    const waiting = splitter.split(orderOf("# A\n"), stop.signal);
    stop.abort(new Error("stop"));
    await expect(waiting).rejects.toThrow("stop");
    stopOther.abort(new Error("the other"));
    await expect(slow).rejects.toThrow("the other");
  }, 60_000);
});
