import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { cliSettings } from "../../cli/connection.ts";
import { localSettings } from "../../deploy/local/config.ts";
import { embeddingSettings } from "../../services/embedding/config.ts";
import { healthSettings } from "../../services/health/config.ts";
import { ingestionSettings } from "../../services/ingestion/config.ts";
import { memorySettings } from "../../services/memory/config.ts";
import { sessionBuddySettings } from "../../services/session-buddy/config.ts";
import { vectorStoreSettings } from "../../services/vector-store/config.ts";
import type { Setting, Settings } from "../../shared/config.ts";
import { processSettings } from "../../shared/process.ts";

const groups: Readonly<Record<string, Settings>> = {
  "npm start": localSettings,
  "every process": processSettings,
  memory: memorySettings,
  ingestion: ingestionSettings,
  "vector-store": vectorStoreSettings,
  embedding: embeddingSettings,
  "session-buddy": sessionBuddySettings,
  health: healthSettings,
  "command line": cliSettings,
};

const begin = "<!-- configuration -->";
const end = "<!-- /configuration -->";

/** The README's table: every setting once, with who reads it. */
export function settingsTable(): string {
  const readers = new Map<string, { setting: Setting; groups: string[] }>();
  for (const [group, settings] of Object.entries(groups)) {
    for (const one of Object.values(settings)) {
      const entry = readers.get(one.env) ?? { setting: one, groups: [] };
      entry.groups.push(group);
      readers.set(one.env, entry);
    }
  }
  const rows = [...readers.values()].map((one) => row(one.setting, readBy(one.groups)));
  const head = [
    "| variable | in the file | default | read by | what it is |",
    "|---|---|---|---|---|",
  ];
  return [begin, ...head, ...rows, end].join("\n");
}

/** The README with the table as it must be. */
export function readmeWithTable(readme: string): string {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from < 0 || to < from) throw new Error("the README has no place for the table");
  return readme.slice(0, from) + settingsTable() + readme.slice(to + end.length);
}

/** Services that take their port or a setting from `npm start` are not named again. */
function readBy(names: readonly string[]): string {
  return names.includes("every process") || names.length > 4 ? "every process" : names.join(", ");
}

function row(one: Setting, group: string): string {
  const parsed = one.schema.safeParse(undefined);
  const value = parsed.success ? parsed.data : undefined;
  const shown = value === undefined || value === null || value === "" ? "" : `\`${String(value)}\``;
  const about = one.about.replaceAll("|", "\\|");
  const yaml = one.yaml === undefined ? "" : `\`${one.yaml}\``;
  return `| \`${one.env}\` | ${yaml} | ${shown} | ${group} | ${about} |`;
}

if (process.argv[1] === import.meta.filename) {
  const path = resolve(import.meta.dirname, "../../README.md");
  writeFileSync(path, readmeWithTable(readFileSync(path, "utf8")));
}
