// Completes package-lock.json with the packages of other platforms. npm leaves an optional package
// out of the lock file when the registry at hand does not offer it, as mirrors of one platform do;
// `npm ci` then refuses the lock file everywhere. Run it after `npm install`:
//   node .ci/complete-lock.mjs          completes the file
//   node .ci/complete-lock.mjs --check  fails where it is not complete
import { readFileSync, writeFileSync } from "node:fs";

const platforms = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const processors = [
  "arm64",
  "armv7",
  "arm",
  "x64",
  "ia32",
  "ppc64",
  "s390x",
  "riscv64",
  "loong64",
  "mips64el",
  "wasm32",
  "x86_64",
  "aarch64",
];
const aliases = { armv7: "arm", x86_64: "x64", aarch64: "arm64" };

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
const missing = {};
for (const [folder, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isLocked(folder, name)) continue;
    missing[`node_modules/${name}`] = placeholder(name, version, entry);
  }
}
const names = Object.keys(missing);
if (process.argv.includes("--check")) {
  for (const name of names) console.error(`package-lock.json lacks ${name}`);
  if (names.length > 0) console.error("run: node .ci/complete-lock.mjs");
  process.exit(names.length > 0 ? 1 : 0);
}
const root = lock.packages[""];
const rest = Object.entries({ ...lock.packages, ...missing }).filter(([folder]) => folder !== "");
rest.sort(([a], [b]) => a.localeCompare(b, "en"));
lock.packages = { "": root, ...Object.fromEntries(rest) };
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`added ${names.length} packages of other platforms`);

/** Whether a package is locked where Node would look for it from a folder. */
function isLocked(folder, name) {
  for (let at = folder; ; at = at.slice(0, Math.max(0, at.lastIndexOf("node_modules/") - 1))) {
    if (`${at === "" ? "" : `${at}/`}node_modules/${name}` in lock.packages) return true;
    if (at === "") return false;
  }
}

function placeholder(name, version, parent) {
  const words = name.split(/[^a-z0-9_]+/);
  const os = words.filter((word) => platforms.includes(word));
  const cpu = words
    .filter((word) => processors.includes(word))
    .map((word) => aliases[word] ?? word);
  return {
    version: version.replace(/^[^0-9]*/, ""),
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(parent.dev ? { dev: true } : {}),
    ...(words.includes("musl") ? { libc: ["musl"] } : {}),
    ...(words.includes("gnu") ? { libc: ["glibc"] } : {}),
    optional: true,
    ...(os.length > 0 ? { os } : {}),
  };
}
