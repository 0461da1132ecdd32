#!/usr/bin/env node
// Runs the command line on the project's own Node, whatever Node the host has.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const ownNode = join(here, "..", "node_modules", "node", "bin", "node");
/** There while packages are being installed: node may be there before the others are. */
const installing = join(here, "..", ".installing");

if (!existsSync(ownNode) || existsSync(installing)) {
  const { status } = spawnSync(process.execPath, [join(here, "../deploy/local/install.mjs")], {
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
}
const child = spawn(
  existsSync(ownNode) ? ownNode : process.execPath,
  [join(here, "main.ts"), ...process.argv.slice(2)],
  { stdio: "inherit" },
);
// The command line decides what a signal means, and this process tells how that ended. A terminal's
// Ctrl-C reaches both; the command line takes the two for one.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal === null ? (code ?? 1) : 130));
