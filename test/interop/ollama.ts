/**
 * Sits the exam of every embedder on a real Ollama and prints a table of what it found:
 * `node test/interop/ollama.ts`. It asks OLLAMA_BASE_URL (default http://127.0.0.1:11434) for
 * OLLAMA_MODEL (default nomic-embed-text) and builds nothing. Where none answers it says so and
 * ends with 0, so that a gate can run it anywhere.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { askedOllama, ollamaFacts } from "./ollama-target.ts";

const root = resolve(import.meta.dirname, "../..");
const { url, model } = askedOllama();
const facts = await ollamaFacts();
if (facts === undefined) {
  console.log(`skipped: conformance on a real Ollama (no ${model} at ${url})`);
  process.exit(0);
}
const dir = mkdtempSync(join(tmpdir(), "mahavishnu-ollama-"));
const report = join(dir, "report.json");
const vitest = spawn(
  process.execPath,
  [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "test/interop/ollama.test.ts",
    "--reporter=json",
    `--outputFile=${report}`,
  ],
  {
    cwd: root,
    env: { ...process.env, OLLAMA_BASE_URL: url },
    stdio: ["ignore", "ignore", "inherit"],
  },
);
const [code] = (await once(vitest, "exit")) as [number | null];
const { testResults } = JSON.parse(readFileSync(report, "utf8")) as {
  testResults: { assertionResults: { title: string; status: string; duration?: number }[] }[];
};
rmSync(dir, { recursive: true, force: true });
console.log(`${model} at ${url}: ${facts.dimension} dimensions, ${facts.contextTokens} tokens\n`);
console.log("| promise | outcome | ms |\n|---|---|---|");
for (const { title, status, duration } of testResults.flatMap((file) => file.assertionResults)) {
  console.log(`| ${title} | ${status} | ${Math.round(duration ?? 0)} |`);
}
process.exit(code ?? 1);
