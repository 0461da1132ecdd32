// Installs the packages when they are missing or older than the lock file. Plain JavaScript for
// whatever Node the host has: it runs before the project's own Node is there. One command installs
// and others wait for it: two that install at once would take each other's files away.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..", "..");
const installed = join(root, "node_modules", ".package-lock.json");
const wanted = join(root, "package-lock.json");
/** Holds the process id of who installs; not in node_modules, which is made anew. */
const lock = join(root, ".installing");
const lookAgainMs = 200;
/** A lock without a process id is being written, or was left so. */
const unwrittenMs = 5_000;

/** Undefined: nothing. */
function whatToDo() {
  if (!existsSync(installed)) return "Installing packages (once, about a minute) ...";
  const old = statSync(installed).mtimeMs < statSync(wanted).mtimeMs;
  return old ? "Updating packages ..." : undefined;
}

function takeLock() {
  for (let waits = false; ; waits = true) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (isLeft()) rmSync(lock, { force: true });
    else {
      if (!waits) console.log("Waiting for another command that installs packages ...");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookAgainMs);
    }
  }
}

/** Whether the process that made the lock is gone. */
function isLeft() {
  try {
    const age = Date.now() - statSync(lock).mtimeMs;
    const pid = Number(readFileSync(lock, "utf8"));
    if (!(pid > 0)) return age > unwrittenMs;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // Somebody else's process cannot be signalled; a lock that is not there is not left.
    return error.code === "ESRCH";
  }
}

function install() {
  const task = whatToDo();
  if (task === undefined) return 0;
  console.log(task);
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
  if (status !== 0) console.error("npm ci failed; its own message is above.");
  return status ?? 1;
}

if (existsSync(lock) || whatToDo() !== undefined) {
  takeLock();
  try {
    process.exitCode = install();
  } finally {
    rmSync(lock, { force: true });
  }
}
