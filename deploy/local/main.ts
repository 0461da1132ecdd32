import { homedir } from "node:os";
import { relative } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError } from "../../shared/config.ts";
import { stopSignal } from "../../shared/lifecycle.ts";
import { readLocalConfig } from "./config.ts";
import { DataDirInUseError } from "./data-dir-lock.ts";
import { describeEvent, sessionBuddyHint, statusTable } from "./messages.ts";
import { StartError, startPlatform } from "./platform.ts";

const help = `Usage: npm start [-- --help]

Starts Mahavishnu Memory: an embedded PostgreSQL where none is configured, and the six services.
Ctrl-C stops them in order. State and logs are kept in MAHAVISHNU_DATA_DIR (default ./data).
All settings are in the README, under Configuration.`;

const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" } } });
if (values.help) {
  console.log(help);
  process.exit(0);
}

const stop = new AbortController();
const stopped = stopSignal().then((signal) => stop.abort(signal));
try {
  const config = readLocalConfig(process.env);
  const startedAt = performance.now();
  const platform = await startPlatform({
    ...config,
    signal: stop.signal,
    onStep: (step) => console.log(`  ${step} ...`),
    onEvent: (event) => console.log(`  ${describeEvent(event)}`),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`\n${await statusTable(platform)}`);
  console.log(`All SERVING after ${seconds} s. Logs: ${relative(".", platform.dataDir)}/logs.`);
  const hint = sessionBuddyHint(homedir(), process.env);
  if (hint !== undefined) console.log(hint);
  console.log(`
Try, in another terminal:
  npx mahavishnu remember "Vectors travel as binary parameters, seven times faster than text."
  npx mahavishnu search "are binary parameters faster than text?"
`);
  await stopped;
  console.log("Stopping ...");
  await platform[Symbol.asyncDispose]();
  console.log("Stopped.");
  process.exit(0);
} catch (error) {
  if (stop.signal.aborted) process.exit(130);
  const known = [StartError, DataDirInUseError].some((kind) => error instanceof kind);
  if (error instanceof ConfigError) for (const problem of error.problems) console.error(problem);
  else console.error(known && error instanceof Error ? error.message : error);
  process.exit(1);
}
