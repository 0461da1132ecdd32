import { describe, expect, it } from "vitest";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { passagesOf } from "./passages.ts";
import { eventually } from "./testing/running-service.ts";
import { agentMemory, ServiceSuite, turnOf } from "./testing/service-suite.ts";

const suite = new ServiceSuite();

const { READY, PENDING } = EmbeddingState;
const long = (word: string) => `The ${word} walks through the forest. `.repeat(500);

/** What the fake model makes of each passage, and where it stands. */
const expected = (content: string) =>
  passagesOf(content).map(({ text, start, end }) => ({
    vector: { values: [1, 2, 3, text.length] },
    range: { start, end },
  }));
const stored = (id: string) => suite.peers.vectorStore.get(id);

describe("a long content", () => {
  it("is stored whole, with a vector for each passage, by every way to store it", async () => {
    expect(expected(long("bear")).length).toBeGreaterThan(4);
    const answer = await suite.client.storeMemory(agentMemory(long("bear"), { id: "bear" }));
    expect(answer).toMatchObject({ embeddingState: READY, memory: { content: long("bear") } });
    const turn = await suite.client.storeConversationTurn(turnOf(long("wolf")));
    const requests = async function* () {
      const memories = [agentMemory(long("lynx"), { id: "lynx" }).memory, agentMemory("x").memory];
      yield { sequence: 1n, memories };
    };
    for await (const { results } of suite.client.bulkStore(requests())) {
      expect(results.map((one) => one.embeddingState)).toEqual([READY, READY]);
    }
    for (const [id, word] of [
      ["bear", "bear"],
      ["lynx", "lynx"],
      [turn.memoryId, "wolf"],
    ] as const) {
      const document = stored(id);
      expect(document?.content).toBe(long(word));
      expect(document?.vector?.values).toEqual([1, 2, 3, long(word).length]);
      expect(document?.passages).toMatchObject(expected(long(word)));
    }
    const short = suite.peers.vectorStore.all.find(({ content }) => content === "x");
    expect(short?.passages).toEqual([]);
    const { memory } = await suite.client.getMemory({ id: "bear" });
    expect(memory?.content).toBe(long("bear"));
  });

  it("waits for all of its vectors together while embedding is away, whoever restarts", async () => {
    suite.peers.moods.embedding = "down";
    const answer = await suite.client.storeMemory(agentMemory(long("bear"), { id: "bear" }));
    expect(answer.embeddingState).toBe(PENDING);
    expect(stored("bear")).toMatchObject({ passages: [] });
    expect(stored("bear")?.vector).toBeUndefined();
    await suite.start();
    suite.peers.moods.embedding = "up";
    await suite.makeDue();
    await eventually(async () => (await suite.waiting()) === 0);
    expect(stored("bear")?.passages).toMatchObject(expected(long("bear")));
    expect((await suite.client.getMemory({ id: "bear" })).embeddingState).toBe(READY);
  });

  it("keeps no shorter one waiting that is embedded with it", async () => {
    const memories = [long("bear"), "short", long("wolf"), "another"].map(
      (content) => agentMemory(content).memory,
    );
    const requests = async function* () {
      yield { sequence: 1n, memories };
    };
    for await (const { results } of suite.client.bulkStore(requests())) {
      for (const [index, { id }] of results.entries()) {
        const content = memories[index]?.content ?? "";
        expect(stored(id)).toMatchObject({
          content,
          vector: { values: [1, 2, 3, content.length] },
          passages: expected(content),
        });
      }
    }
    expect(suite.peers.embedded.slice(0, 3)).toEqual(["short", "another", long("bear")]);
  });

  it("goes without the passage that the model refuses, and waits where it refuses the whole", async () => {
    const [first] = passagesOf(long("bear"));
    suite.peers.refusedTexts.add(first?.text ?? "").add(long("wolf"));
    const bear = await suite.client.storeMemory(agentMemory(long("bear"), { id: "bear" }));
    expect(bear.embeddingState).toBe(READY);
    expect(stored("bear")?.passages).toMatchObject(expected(long("bear")).slice(1));
    const wolf = await suite.client.storeMemory(agentMemory(long("wolf"), { id: "wolf" }));
    expect(wolf.embeddingState).toBe(PENDING);
    expect(stored("wolf")?.passages).toEqual([]);
  });

  it("is embedded anew when it changes, and not when something else does", async () => {
    await suite.client.storeMemory(agentMemory(long("bear"), { id: "m" }));
    suite.peers.moods.embedding = "down";
    const more = { updateMask: { paths: ["metadata"] } };
    const kept = await suite.client.updateMemory({
      memory: { id: "m", metadata: { k: 1 } },
      ...more,
    });
    expect(kept.embeddingState).toBe(READY);
    expect(stored("m")?.passages).toMatchObject(expected(long("bear")));
    suite.peers.moods.embedding = "up";
    await suite.client.updateMemory({ memory: { id: "m", content: long("little wolf") } });
    expect(stored("m")?.passages).toMatchObject(expected(long("little wolf")));
    await suite.client.updateMemory({ memory: { id: "m", content: "short now" } });
    expect(stored("m")?.passages).toEqual([]);
  });
});
