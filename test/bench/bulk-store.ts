/**
 * How fast BulkStore is against the slower of its two parts measured alone in the same run, and
 * whether the memory process stays as large as it is: `node test/bench/bulk-store.ts
 * [--memories=100000] [--sample=10000] [--batch=200] [--json]`.
 *
 * BulkEmbed and BulkUpsert each work on `sample` items, before and after BulkStore has stored
 * `memories`; the mean of the two counts. In the end the first tenth is stored again, which must
 * find all of it there.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { openPlatform, quantile, rounded } from "./memory-platform.ts";

const { values: args } = parseArgs({
  options: {
    memories: { type: "string", default: "100000" },
    sample: { type: "string", default: "10000" },
    batch: { type: "string", default: "200" },
    json: { type: "boolean", default: false },
  },
});
const total = Number(args.memories);
const sample = Number(args.sample);
const batch = Number(args.batch);

await using platform = await openPlatform();
const { memory, embedding, vectorStore } = platform;

const textOf = (label: string, n: number) =>
  `${label} ${n} `.padEnd(300, `the ${n % 977} words of a memory in bulk `);

/** Items a second. */
async function timed(count: number, work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return (count * 1_000) / (performance.now() - begun);
}

async function embedAlone(label: string) {
  const vectors = new Map<string, number[]>();
  let model = "";
  const rate = await timed(sample, async () => {
    async function* requests() {
      for (let at = 0; at < sample; at += batch) {
        const length = Math.min(batch, sample - at);
        const items = Array.from({ length }, (_, i) => ({
          id: `${at + i}`,
          text: textOf(label, at + i),
        }));
        yield { items, task: EmbeddingTask.SEARCH_DOCUMENT };
      }
    }
    for await (const answer of embedding.bulkEmbed(requests())) {
      model = answer.model;
      for (const { id, embedding: made } of answer.results) {
        if (made?.result.case === "vector") vectors.set(id, made.result.value.values);
      }
    }
  });
  if (vectors.size !== sample) throw new Error(`${vectors.size} vectors for ${sample} texts`);
  return { rate, vectors, model };
}

async function upsertAlone(label: string, vectors: Map<string, number[]>, model: string) {
  return await timed(sample, async () => {
    async function* requests() {
      for (let at = 0; at < sample; at += batch) {
        const length = Math.min(batch, sample - at);
        const documents = Array.from({ length }, (_, i) => ({
          content: textOf(label, at + i),
          vector: { values: vectors.get(`${at + i}`) ?? [] },
          memoryType: MemoryType.AGENT,
          sourceSystem: "bench",
          agentId: label,
        }));
        yield { sequence: BigInt(at), documents, model };
      }
    }
    for await (const { error } of vectorStore.bulkUpsert(requests())) {
      if (error !== undefined) throw new Error(error.message);
    }
  });
}

async function store(label: string, count: number) {
  let deduplicated = 0;
  let pending = 0;
  const rate = await timed(count, async () => {
    async function* requests() {
      for (let at = 0; at < count; at += batch) {
        const length = Math.min(batch, count - at);
        const memories = Array.from({ length }, (_, i) => ({
          content: textOf(label, at + i),
          memoryType: MemoryType.AGENT,
          agentId: label,
        }));
        yield { sequence: BigInt(at), memories };
      }
    }
    let acknowledged = 0;
    for await (const { results, error } of memory.bulkStore(requests())) {
      if (error !== undefined) throw new Error(error.message);
      for (const one of results) {
        if (one.error !== undefined) throw new Error(one.error.message);
        acknowledged += 1;
        if (one.deduplicated) deduplicated += 1;
        if (one.embeddingState === 2) pending += 1;
      }
    }
    if (acknowledged !== count) throw new Error(`${acknowledged} of ${count} were acknowledged`);
  });
  return { rate, deduplicated, pending };
}

function residentMb(): number {
  const status = readFileSync(`/proc/${platform.platform.process("memory").pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}

await store("warm", 2_000);
const before = await embedAlone("first");
const upsertBefore = await upsertAlone("first", before.vectors, before.model);
before.vectors.clear();
const sizes: number[] = [];
const watching = setInterval(() => sizes.push(residentMb()), 500);
const stored = await store("bulk", total);
clearInterval(watching);
const again = await store("bulk", Math.ceil(total / 10));
const after = await embedAlone("second");
const upsertAfter = await upsertAlone("second", after.vectors, after.model);
const embed = (before.rate + after.rate) / 2;
const upsert = (upsertBefore + upsertAfter) / 2;
const third = Math.ceil(sizes.length / 3);
const result = {
  database: platform.database,
  memories: total,
  embedPerSecond: Math.round(embed),
  upsertPerSecond: Math.round(upsert),
  bulkStorePerSecond: Math.round(stored.rate),
  shareOfSlowerPart: rounded(stored.rate / Math.min(embed, upsert)),
  pending: stored.pending,
  storedAgain: { perSecond: Math.round(again.rate), deduplicated: again.deduplicated },
  residentMb: {
    firstThird: rounded(quantile(sizes.slice(0, third), 0.5), 0),
    lastThird: rounded(quantile(sizes.slice(-third), 0.5), 0),
    most: rounded(Math.max(...sizes), 0),
    samples: sizes.length,
  },
};
if (args.json) console.log(JSON.stringify(result));
else console.dir(result);
