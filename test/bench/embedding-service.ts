/**
 * Measures the embedding service over gRPC against a fake Ollama whose cost is known:
 * `node test/bench/embedding-service.ts [--json] [--rounds=3] [--only=bulk|queries|cached]
 * [--parallel=1|4|8] [--slower=4]`.
 *
 * The fake takes a fixed time for a request and for a text and works on a bounded number of
 * requests at once, so that what the best client could get can be told. Every process is its own.
 * Sides take turns, and the median of the rounds' ratios counts. On a machine that is busy with other
 * things `--slower` makes the fake so many times slower, so that what they take counts less.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Client, createClient } from "@connectrpc/connect";
import { Ollama } from "ollama";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import type { FakeCost } from "../harness/fake-ollama.ts";

const { values: args } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    only: { type: "string", default: "" },
    parallel: { type: "string", default: "" },
    slower: { type: "string", default: "1" },
  },
});
const rounds = Number(args.rounds);
const model = "nomic-embed-text";

/**
 * As public measurements of nomic-embed-text on Ollama: 2.4 to 3.1 times faster in batches than one
 * by one, and up to about 200 texts a second.
 */
const slower = Number(args.slower);
const cost = { perRequestMs: 10 * slower, perTextMs: 5 * slower };

let serial = 0;
/** Texts of 500 characters that were never seen before. */
function freshTexts(count: number): string[] {
  return Array.from({ length: count }, () => `${serial++} `.padEnd(500, "words of a passage "));
}

interface Side extends AsyncDisposable {
  readonly client: Client<typeof EmbeddingService>;
  readonly ollama: Ollama;
}

async function startProcess(stack: AsyncDisposableStack, kind: string, argument: object) {
  const file = fileURLToPath(new URL("embedding-server.ts", import.meta.url));
  const child = fork(file, [kind, JSON.stringify(argument)]);
  stack.defer(() => child.disconnect());
  const [{ address }] = (await once(child, "message")) as [{ address: string }];
  return address;
}

async function open(parallel: number): Promise<Side> {
  const stack = new AsyncDisposableStack();
  const fakeCost: FakeCost = { ...cost, parallel };
  const url = await startProcess(stack, "ollama", fakeCost);
  const address = await startProcess(stack, "service", {
    MAHAVISHNU_EMBEDDING_PROVIDER: "ollama",
    OLLAMA_BASE_URL: url,
    MAHAVISHNU_EMBEDDING_CONCURRENCY: String(Math.ceil(parallel * 1.5)),
  });
  const transport = stack.use(createGrpcTransport({ address }));
  const client = createClient(EmbeddingService, transport);
  await client.embed({ model, texts: ["warm"] });
  return {
    client,
    ollama: new Ollama({ host: url }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function directly(ollama: Ollama, texts: string[], batch: number, inFlight: number) {
  const begun = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < texts.length) {
      const from = next;
      next += batch;
      await ollama.embed({ model, input: texts.slice(from, from + batch) });
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (texts.length * 1_000) / (performance.now() - begun);
}

async function inBulk(client: Side["client"], texts: readonly string[]): Promise<number> {
  const begun = performance.now();
  async function* requests() {
    for (let at = 0; at < texts.length; at += 50) {
      const items = texts.slice(at, at + 50).map((text, i) => ({ id: `${at + i}`, text }));
      yield { model, items };
    }
  }
  let answered = 0;
  for await (const { results } of client.bulkEmbed(requests())) answered += results.length;
  if (answered !== texts.length) throw new Error(`${answered} answers for ${texts.length} texts`);
  return (answered * 1_000) / (performance.now() - begun);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

/** BulkEmbed against the best of many direct clients, and against one text at a time. */
async function measureBulk(parallel: number) {
  await using side = await open(parallel);
  const { client, ollama } = side;
  // Enough for the end, when not every worker has a batch left, to count little.
  const count = 1_280 * parallel;
  let best = { batch: 0, inFlight: 0, rate: 0 };
  for (const batch of [64, 128]) {
    for (const inFlight of [parallel, 2 * parallel]) {
      const rate = await directly(ollama, freshTexts(count / 2), batch, inFlight);
      if (rate > best.rate) best = { batch, inFlight, rate };
    }
  }
  const pairs: { direct: number; bulk: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const direct = await directly(ollama, freshTexts(count), best.batch, best.inFlight);
    pairs.push({ direct, bulk: await inBulk(client, freshTexts(count)) });
  }
  const single = await directly(ollama, freshTexts(100), 1, 1);
  const bulk = quantile(
    pairs.map((pair) => pair.bulk),
    0.5,
  );
  return {
    measured: "bulk",
    parallel,
    bestDirect: `${best.batch} texts, ${best.inFlight} requests in flight`,
    directTextsPerSecond: Math.round(
      quantile(
        pairs.map((pair) => pair.direct),
        0.5,
      ),
    ),
    bulkTextsPerSecond: Math.round(bulk),
    shareOfBestDirect: rounded(
      quantile(
        pairs.map((pair) => pair.bulk / pair.direct),
        0.5,
      ),
      3,
    ),
    timesOneByOne: rounded(bulk / single),
  };
}

async function timeQueries(client: Side["client"], count: number): Promise<number[]> {
  const times: number[] = [];
  for (const text of freshTexts(count)) {
    const begun = performance.now();
    await client.embed({ model, task: EmbeddingTask.SEARCH_QUERY, texts: [text.slice(0, 50)] });
    times.push(performance.now() - begun);
  }
  return times;
}

/** Bursts of queries in a round, with pauses in which bulk takes the whole server again. */
const bursts = 5;
const queriesInBurst = 40;
const pauseMs = 1_000;

/**
 * Queries one after another, on an idle service and under bulk streams that never pause. They come
 * in bursts, and every one counts: the first ones of a burst meet the largest batches.
 */
async function measureQueries(parallel: number, streams: number) {
  await using side = await open(parallel);
  const { client } = side;
  const idle: number[] = [];
  const loaded: number[] = [];
  const first: number[] = [];
  let answers = 0;
  const between = { ms: 0, answers: 0 };
  const meanwhile = { ms: 0, answers: 0 };
  const watched = async <T>(sum: typeof between, work: Promise<T>): Promise<T> => {
    const [begun, before] = [performance.now(), answers];
    const result = await work;
    sum.ms += performance.now() - begun;
    sum.answers += answers - before;
    return result;
  };
  for (let round = 0; round < rounds; round++) {
    idle.push(...(await timeQueries(client, bursts * queriesInBurst)));
    const stop = new AbortController();
    const stream = async () => {
      async function* endless() {
        for (let id = 0; !stop.signal.aborted; ) {
          yield { model, items: freshTexts(50).map((text) => ({ id: `${id++}`, text })) };
        }
      }
      try {
        for await (const { results } of client.bulkEmbed(endless(), { signal: stop.signal })) {
          answers += results.length;
        }
      } catch (error) {
        if (!stop.signal.aborted) throw error;
      }
    };
    const running = Array.from({ length: streams }, stream);
    await wait(1_000);
    for (let burst = 0; burst < bursts; burst++) {
      await watched(between, wait(pauseMs));
      const times = await watched(meanwhile, timeQueries(client, queriesInBurst));
      loaded.push(...times);
      first.push(times[0] ?? Number.NaN);
    }
    stop.abort();
    await Promise.all(running);
  }
  const perSecond = (sum: typeof between) => Math.round((sum.answers * 1_000) / sum.ms);
  return {
    measured: "queries",
    parallel,
    streams,
    idleP50Ms: rounded(quantile(idle, 0.5)),
    idleP99Ms: rounded(quantile(idle, 0.99)),
    loadedP50Ms: rounded(quantile(loaded, 0.5)),
    loadedP99Ms: rounded(quantile(loaded, 0.99)),
    p99TimesIdle: rounded(quantile(loaded, 0.99) / quantile(idle, 0.99)),
    firstOfBurstP50Ms: rounded(quantile(first, 0.5)),
    firstOfBurstMaxMs: rounded(Math.max(...first)),
    bulkTextsPerSecondMeanwhile: perSecond(meanwhile),
    bulkTextsPerSecondInPauses: perSecond(between),
  };
}

/** A text that is cached, against a call that does nothing but list the models. */
async function measureCached() {
  await using side = await open(4);
  const { client } = side;
  const text = freshTexts(1);
  const cached: number[] = [];
  const empty: number[] = [];
  for (let i = 0; i < 2_000; i++) {
    const begun = performance.now();
    await client.embed({ model, task: EmbeddingTask.SEARCH_QUERY, texts: text });
    const between = performance.now();
    await client.listModels({});
    empty.push(performance.now() - between);
    cached.push(between - begun);
  }
  return {
    measured: "cached",
    cachedP50Ms: rounded(quantile(cached.slice(500), 0.5), 3),
    cachedP99Ms: rounded(quantile(cached.slice(500), 0.99), 3),
    listModelsP50Ms: rounded(quantile(empty.slice(500), 0.5), 3),
  };
}

/** The parallelism of the fake, and how many bulk streams the queries meet. */
const settings: readonly (readonly [number, number])[] = [
  [4, 1],
  [4, 4],
  [1, 1],
];
const asked = (parallel: number) => args.parallel === "" || parallel === Number(args.parallel);
const all = {
  bulk: [1, 4, 8].filter(asked).map((parallel) => () => measureBulk(parallel)),
  queries: settings
    .filter(([parallel]) => asked(parallel))
    .map(
      ([parallel, streams]) =>
        () =>
          measureQueries(parallel, streams),
    ),
  cached: [measureCached],
};
const results: object[] = [];
for (const [name, measurements] of Object.entries(all)) {
  if (args.only !== "" && args.only !== name) continue;
  for (const measure of measurements) {
    const result = await measure();
    results.push(result);
    if (!args.json) {
      console.log(
        Object.entries(result)
          .map(([key, value]) => `${key}: ${value}`)
          .join(" | "),
      );
    }
  }
}
if (args.json) console.log(JSON.stringify(results, null, 2));
