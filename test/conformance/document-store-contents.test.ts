import { expect, test } from "vitest";
import { instantNow, parseInstant } from "../../services/vector-store/instant.ts";
import { DomainError } from "../../shared/errors.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, vectorOf, writeOf } from "./document-store-samples.ts";
import { DocumentStoreSuite, everything, unbound } from "./document-store-suite.ts";

const hostile = [
  "'; drop table memories; --",
  '"; delete from memories; --',
  "$1",
  "\\'; select pg_sleep(10); --",
  "%_*",
  "{}",
  "null",
  "\u202e\u0001",
];

describeEachStore("document store", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write, read } = suite;

  test("gives back what was written, to the microsecond and the last bit", async () => {
    const tenant = newTenant();
    const metadata = {
      n: 1.5,
      tiny: 5e-324,
      huge: 1.7976931348623157e308,
      list: [null, true, { deep: "ünïcödé 🦄" }],
      "quo\"te's": "\\",
      empty: {},
    };
    const createTime = parseInstant("1999-12-31T23:59:59.123456Z");
    const expireTime = parseInstant("9999-12-31T23:59:59.999999Z");
    const vector = vectorOf(7);
    const document = newDocument("some\ncontent 🦄", {
      id: "é/1",
      vector,
      memoryType: "insight",
      sourceSystem: "sys",
      agentId: "agent",
      workflowId: "flow",
      repoId: "repo",
      metadata: JSON.stringify(metadata),
      createTime,
      expireTime,
    });
    const before = instantNow();
    expect(await write(tenant, document)).toEqual([{ outcome: "created", id: "é/1" }]);
    const found = await read(tenant, "é/1");
    expect(found).toMatchObject({
      content: "some\ncontent 🦄",
      memoryType: "insight",
      sourceSystem: "sys",
      agentId: "agent",
      workflowId: "flow",
      repoId: "repo",
      metadata,
      contentHash: document.contentHash,
      createTime,
      expireTime,
    });
    expect([...(found.vector ?? [])]).toEqual(vector);
    expect(found.updateTime).toBeGreaterThan(before - 60_000_000n);
    const [plain] = await suite.store.get(tenant, collection, ["é/1"], false);
    expect(plain?.vector).toBeUndefined();
  });

  test("contents of any shape up to 1 MiB are stored", async () => {
    const tenant = newTenant();
    const han = (i: number) => String.fromCodePoint(0x20000 + (i % 40_000));
    const repeat = (part: (i: number) => string, bytes: number) => {
      let text = "";
      for (let i = 0, size = 0; ; i++) {
        const next = part(i);
        size += Buffer.byteLength(next);
        if (size > bytes) return text;
        text += next;
      }
    };
    const contents = [
      repeat((i) => `${i.toString(36)} `, 1_048_576),
      repeat((i) => `${han(i)}-${han(i * 3 + 7)} `, 1_048_576),
      repeat((i) => `${han(i)} `, 1_048_576),
      repeat((i) => `h${i.toString(36)}.com/${i} `, 1_048_576),
      "x".repeat(1_048_576),
      "\u0001\u0002 \t\r\n",
    ];
    for (const [i, content] of contents.entries()) {
      const id = `large-${i}`;
      const long = "o".repeat(256);
      const document = newDocument(content, {
        id: id.padEnd(256, "i"),
        vector: vectorOf(i),
        sourceSystem: "s".repeat(128),
        agentId: long,
        workflowId: long,
        repoId: long,
        dedupScope: `named:${randomText(512, i)}`,
        metadata: JSON.stringify({ filling: randomText(60_000, i) }),
      });
      expect(await write(tenant, document)).toMatchObject([{ outcome: "created" }]);
      expect((await read(tenant, document.id)).content === content).toBe(true);
    }
  });

  test("hostile strings are data wherever they stand", async () => {
    const tenant = newTenant();
    for (const text of hostile) {
      const document = newDocument(`content ${text}`, {
        id: text,
        sourceSystem: text,
        agentId: text,
        workflowId: text,
        repoId: text,
        dedupScope: `named:${text}`,
        metadata: JSON.stringify({ [text]: text }),
      });
      await suite.store.write(text, writeOf(document));
      expect(await write(tenant, document)).toEqual([{ outcome: "created", id: text }]);
      expect(await read(tenant, text)).toMatchObject({ agentId: text, metadata: { [text]: text } });
      await suite.store.search(tenant, collection, { ...unbound, mode: "text", text });
      const page = { ...everything, after: text };
      await suite.store.list(tenant, collection, page);
    }
    expect(await suite.store.count(tenant, collection, undefined)).toBe(BigInt(hostile.length));
    await expect(suite.store.collection("memories'; --")).rejects.toBeInstanceOf(DomainError);
  });
});

/** Text that does not compress. */
function randomText(length: number, seed: number): string {
  let state = seed + 1;
  let text = "";
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
}
