import { describe, expect, it } from "vitest";
import { eventually } from "./testing/running-service.ts";
import { agentMemory, ServiceSuite } from "./testing/service-suite.ts";

const suite = new ServiceSuite();

/** Stores while embedding is down, and says under which id. */
const storeWithout = async (content: string, id: string) => {
  suite.peers.moods.embedding = "down";
  await suite.client.storeMemory(agentMemory(content, { id }));
};
const embedLater = async () => {
  suite.peers.moods.embedding = "up";
  await suite.makeDue();
};
const done = () => eventually(async () => (await suite.waiting()) === 0);

describe("a vector that comes later", () => {
  it("is made anew where the content has changed meanwhile, and undoes nothing", async () => {
    await storeWithout("old", "m");
    const { vectorStore } = suite.peers;
    vectorStore.beforeWrite = async (vectorsOnly) => {
      const document = vectorStore.get("m");
      if (!vectorsOnly || document?.content !== "old") return;
      document.content = "newer and longer";
      document.repoId = "elsewhere";
    };
    await embedLater();
    await done();
    expect(vectorStore.get("m")).toMatchObject({
      content: "newer and longer",
      repoId: "elsewhere",
      agentId: "a",
      vector: { values: [1, 2, 3, "newer and longer".length] },
    });
  });

  it("is forgotten where the document was deleted meanwhile", async () => {
    await storeWithout("old", "m");
    const { vectorStore } = suite.peers;
    let writes = 0;
    vectorStore.beforeWrite = async (vectorsOnly) => {
      if (!vectorsOnly) return;
      writes += 1;
      vectorStore.remove("m");
    };
    await embedLater();
    await done();
    expect(writes).toBe(1);
    expect(vectorStore.size).toBe(0);
  });

  it("comes to all of a batch that is too large to be read at once", async () => {
    for (let n = 0; n < 7; n++) await storeWithout(`content ${n}`, `m${n}`);
    suite.peers.vectorStore.mostRead = 2;
    await embedLater();
    await done();
    expect(suite.peers.vectorStore.all.every(({ vector }) => vector !== undefined)).toBe(true);
  });
});
