/**
 * Compares the RPC layer with bare grpc-js: `node test/bench/rpc.ts [--json] [--rounds=7]`.
 *
 * Servers run in processes of their own. Two comparisons: the layer's server under grpc-js's client,
 * and the layer's client against a grpc-js server. Rounds of both sides take turns, and the median
 * of the rounds' ratios is what counts, since absolute figures depend on the machine and its mood.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bareLoad, type EchoLoad, layerLoad } from "./rpc-loads.ts";

const { values: args } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "7" },
    scenario: { type: "string", default: "" },
  },
});
const roundMs = 700;

interface Scenario {
  readonly name: string;
  readonly unit: string;
  /** Does work until the time is over; returns how many units were done. */
  run(load: EchoLoad, until: number): Promise<number>;
}

interface Result {
  readonly comparison: string;
  readonly scenario: string;
  readonly unit: string;
  readonly bare: number;
  readonly layer: number;
  readonly ratio: number;
}

const scenarios: readonly Scenario[] = [
  ...[1, 32, 1_000].map((callers) => ({
    name: `unary, ${callers} callers`,
    unit: "calls/s",
    run: (load: EchoLoad, until: number) => unaries(load, callers, until),
  })),
  {
    name: "server stream, 768 floats",
    unit: "messages/s",
    run: (load: EchoLoad, until: number) => streams(until, 2_000, () => load.serverStream(2_000)),
  },
  {
    name: "bidi, 100 documents a message",
    unit: "messages/s",
    run: (load: EchoLoad, until: number) => streams(until, 40, () => load.bidi(40)),
  },
].filter(({ name }) => name.includes(args.scenario));

async function unaries(load: EchoLoad, callers: number, until: number): Promise<number> {
  let done = 0;
  const caller = async () => {
    while (performance.now() < until) {
      await load.unary();
      done++;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return done;
}

async function streams(until: number, each: number, run: () => Promise<void>): Promise<number> {
  let done = 0;
  while (performance.now() < until) {
    await run();
    done += each;
  }
  return done;
}

async function perSecond(scenario: Scenario, load: EchoLoad): Promise<number> {
  const started = performance.now();
  const done = await scenario.run(load, started + roundMs);
  return (done * 1_000) / (performance.now() - started);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function compare(
  comparison: string,
  scenario: Scenario,
  bare: EchoLoad,
  layer: EchoLoad,
): Promise<Result> {
  // Not counted: compilers and connections warm up.
  await perSecond(scenario, bare);
  await perSecond(scenario, layer);
  const rounds: { bare: number; layer: number }[] = [];
  for (let round = 0; round < Number(args.rounds); round++) {
    const first = round % 2 === 0 ? bare : layer;
    const one = await perSecond(scenario, first);
    const two = await perSecond(scenario, first === bare ? layer : bare);
    rounds.push(first === bare ? { bare: one, layer: two } : { bare: two, layer: one });
  }
  return {
    comparison,
    scenario: scenario.name,
    unit: scenario.unit,
    bare: Math.round(median(rounds.map((round) => round.bare))),
    layer: Math.round(median(rounds.map((round) => round.layer))),
    ratio: Math.round(median(rounds.map((round) => round.layer / round.bare)) * 1_000) / 1_000,
  };
}

async function startServer(kind: "bare" | "layer") {
  const child = fork(fileURLToPath(new URL("rpc-server.ts", import.meta.url)), [kind]);
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return { address: `127.0.0.1:${port}`, stop: () => child.disconnect() };
}

const bareServer = await startServer("bare");
const layerServer = await startServer("layer");
const results: Result[] = [];
for (const scenario of scenarios) {
  for (const [comparison, bare, layer] of [
    ["server", bareLoad(bareServer.address), bareLoad(layerServer.address)],
    ["client", bareLoad(bareServer.address), layerLoad(bareServer.address)],
  ] as const) {
    const result = await compare(comparison, scenario, bare, layer);
    results.push(result);
    if (!args.json) {
      const { bare: a, layer: b, ratio, unit } = result;
      console.log(`${comparison} | ${scenario.name} | bare ${a} ${unit} | layer ${b} | ${ratio}`);
    }
    bare.close();
    layer.close();
  }
}
if (args.json) console.log(JSON.stringify(results, null, 2));
bareServer.stop();
layerServer.stop();
