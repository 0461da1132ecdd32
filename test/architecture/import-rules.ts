import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { parseSync } from "oxc-parser";

/** An import between two files of the project, paths from the project's root. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** What a room may import beside itself. The first room whose prefix fits a file is its room. */
export interface Room {
  readonly name: string;
  readonly prefix: string;
  readonly mayImport: readonly string[];
}

const services = ["embedding", "vector-store", "memory", "ingestion", "session-buddy", "health"];

/** `proto -> shared/gen -> shared -> services/<one> -> deploy/local, test`; see docs/architecture.md. */
export const rooms: readonly Room[] = [
  { name: "gen", prefix: "shared/gen/", mayImport: [] },
  { name: "shared", prefix: "shared/", mayImport: ["gen"] },
  ...services.map((service) => ({
    name: service,
    prefix: `services/${service}/`,
    mayImport: ["gen", "shared"],
  })),
  { name: "cli", prefix: "cli/", mayImport: ["gen", "shared"] },
  {
    name: "local",
    prefix: "deploy/local/",
    mayImport: ["gen", "shared", "cli", ...services],
  },
];

/** Within a service: who may not import whom. `generated` is anything of shared/gen. */
const domainMayNotImport = [/^shared\/gen\//, /^shared\/rpc\//, /^shared\/postgres\//];
const wiring =
  /\/(main|app|handlers|convert|config|errors|.*-store|peers|.*-client)\.ts$|\/(rpc|sql)\//;

/** Every static and dynamic import of project files, type imports too. */
export function readImports(root: string): { files: string[]; imports: Import[] } {
  const files = ["shared", "services", "cli", "deploy"].flatMap((dir) => sourceFiles(root, dir));
  const imports = files.flatMap((from) =>
    specifiers(join(root, from))
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => ({
        from,
        to: posix(relative(root, resolve(root, dirname(from), specifier))),
      })),
  );
  return { files, imports };
}

/** One line for every import that breaks a rule. */
export function violations(imports: readonly Import[]): string[] {
  const broken: string[] = [];
  for (const { from, to } of imports) {
    const source = roomOf(from);
    const target = roomOf(to);
    if (source === undefined || isTest(from)) continue;
    if (target === undefined) broken.push(`${from} -> ${to}: no room has the target`);
    else if (source !== target && !source.mayImport.includes(target.name)) {
      broken.push(`${from} -> ${to}: ${source.name} may not import ${target.name}`);
    }
    if (isDomain(from) && domainMayNotImport.some((rule) => rule.test(to))) {
      broken.push(`${from} -> ${to}: domain files know neither protobuf nor SQL nor gRPC`);
    }
    if (from.startsWith("services/") && !/\/main\.ts$/.test(from) && /\/main\.ts$/.test(to)) {
      broken.push(`${from} -> ${to}: nothing imports main`);
    }
  }
  return broken.concat(cycles(imports));
}

/** One line for every cycle among files. */
export function cycles(imports: readonly Import[]): string[] {
  const edges = new Map<string, string[]>();
  for (const { from, to } of imports) edges.set(from, [...(edges.get(from) ?? []), to]);
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      found.push(`cycle: ${[...path.slice(start), file].join(" -> ")}`);
      return;
    }
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return found;
}

function roomOf(file: string): Room | undefined {
  return rooms.find((room) => file.startsWith(room.prefix));
}

function isDomain(file: string): boolean {
  return file.startsWith("services/") && !isTest(file) && !wiring.test(file);
}

function isTest(file: string): boolean {
  return file.endsWith(".test.ts") || file.includes("/testing/");
}

function sourceFiles(root: string, dir: string): string[] {
  return readdirSync(join(root, dir), { recursive: true, encoding: "utf8" })
    .map((file) => posix(join(dir, file)))
    .filter((file) => /\.(ts|mjs)$/.test(file) && !file.startsWith("shared/gen/"))
    .sort();
}

function specifiers(path: string): string[] {
  const { module, errors } = parseSync(path, readFileSync(path, "utf8"));
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  return [
    ...module.staticImports.map((one) => one.moduleRequest.value),
    ...module.staticExports.flatMap((one) =>
      one.entries.flatMap((entry) => (entry.moduleRequest ? [entry.moduleRequest.value] : [])),
    ),
    ...module.dynamicImports.map((one) =>
      readFileSync(path, "utf8")
        .slice(one.moduleRequest.start, one.moduleRequest.end)
        .replace(/^["'`]|["'`]$/g, ""),
    ),
  ];
}

function posix(path: string): string {
  return path.split(sep).join("/");
}
