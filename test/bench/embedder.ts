import { parseArgs } from "node:util";
import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import type { Embedder } from "../../services/embedding/embedder.ts";
import { ModelTable } from "../../services/embedding/model-table.ts";
import { OllamaClient } from "../../services/embedding/ollama-client.ts";
import { OllamaObserver } from "../../services/embedding/ollama-observer.ts";
import { providerCircuit } from "../../services/embedding/provider-circuit.ts";
import { RemoteEmbedder } from "../../services/embedding/remote-embedder.ts";
import { Slots } from "../../services/embedding/slots.ts";

const usage = `Measures how many texts a second the embedders take, by length of text.

  node test/bench/embedder.ts [--seconds 2] [--json]

Ollama is measured where it answers at OLLAMA_BASE_URL (default http://127.0.0.1:11434) and has
OLLAMA_MODEL (default nomic-embed-text).
`;

interface Measured {
  readonly model: string;
  readonly characters: number;
  readonly texts: number;
  readonly textsPerSecond: number;
  /** The longest time that the event loop was held, in milliseconds. */
  readonly longestHoldMs: number;
}

const lengths = [50, 500, 5_000];
const vocabulary = (
  "the of and to in is for that with on memory vector search index migration connection pool " +
  "retry timeout getUserName parse_config embedding document conversation agent workflow " +
  "insight repository deployment configuration authentication transaction consistency latency"
).split(" ");

/** Texts of such length, all different, of words that occur about as often as in real ones. */
function sampleTexts(count: number, characters: number): string[] {
  let state = 42;
  const next = (bound: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  return Array.from({ length: count }, (_, i) => {
    let text = `${i}`;
    while (text.length < characters) {
      // Squaring prefers the words at the beginning; every tenth word is a rare one.
      const common = vocabulary[Math.floor((next(100) ** 2 / 10_000) * vocabulary.length)];
      text += ` ${next(10) === 0 ? `rare${next(50_000).toString(36)}` : common}`;
    }
    return text.slice(0, characters);
  });
}

async function measure(embedder: Embedder, characters: number, seconds: number): Promise<Measured> {
  const texts = sampleTexts(Math.max(64, Math.floor(100_000 / characters)), characters);
  await embedder.embed(texts, "document");
  let longestHoldMs = 0;
  let last = performance.now();
  const heart = setInterval(() => {
    longestHoldMs = Math.max(longestHoldMs, performance.now() - last - 1);
    last = performance.now();
  }, 1);
  const begun = performance.now();
  let count = 0;
  while (performance.now() - begun < seconds * 1_000) {
    count += (await embedder.embed(texts, "document")).length;
  }
  const elapsed = (performance.now() - begun) / 1_000;
  clearInterval(heart);
  return {
    model: embedder.model.name,
    characters,
    texts: count,
    textsPerSecond: Math.round(count / elapsed),
    longestHoldMs: Math.round(longestHoldMs),
  };
}

async function ollamaEmbedder(): Promise<Embedder | undefined> {
  const client = new OllamaClient(process.env["OLLAMA_BASE_URL"] ?? "http://127.0.0.1:11434");
  const modelName = process.env["OLLAMA_MODEL"] ?? "nomic-embed-text";
  const facts = (await new OllamaObserver(client, 2_000).observe()).models.get(modelName);
  if (facts === undefined) return undefined;
  return new RemoteEmbedder({
    endpoint: client,
    modelName,
    ...facts,
    table: new ModelTable(),
    slots: new Slots(4),
    breaker: providerCircuit("ollama"),
    batchShape: { texts: 32, characters: 262_144, concurrency: 4 },
    requestTimeoutMs: 120_000,
  });
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
} else {
  const ollama = await ollamaEmbedder();
  const measured: Measured[] = [];
  for (const embedder of [new BuiltinEmbedder(), ...(ollama === undefined ? [] : [ollama])]) {
    for (const characters of lengths) {
      measured.push(await measure(embedder, characters, Number(values.seconds)));
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify(measured)}\n`);
  else {
    const head = ["model", "characters", "texts", "texts/s", "longest hold of the loop, ms"];
    const rows = [head, ...measured.map((one) => Object.values(one).map(String))];
    for (const row of rows)
      process.stdout.write(`${row.map((cell) => cell.padEnd(22)).join("")}\n`);
    if (ollama === undefined) process.stdout.write("Ollama does not answer: not measured\n");
  }
}
