// Installs the packages when they are missing or older than the lock file. Plain JavaScript for
// whatever Node the host has: it runs before the project's own Node is there.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..", "..");
const installed = join(root, "node_modules", ".package-lock.json");
const wanted = join(root, "package-lock.json");

const missing = !existsSync(installed);
if (missing || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) {
  console.log(missing ? "Installing packages (once, about a minute) ..." : "Updating packages ...");
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm]] : ["npm", []];
  const { status } = spawnSync(
    command,
    [...args, "ci", "--no-fund", "--no-audit", "--loglevel=error"],
    {
      cwd: root,
      stdio: "inherit",
      shell: !npm && process.platform === "win32",
    },
  );
  if (status !== 0) {
    console.error("npm ci failed; its own message is above.");
    process.exit(status ?? 1);
  }
}
