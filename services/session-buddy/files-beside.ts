import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";

/**
 * Files that Session-Buddy's versions put beside its file: one for each collection, early in 2026
 * (`reflection_{collection}.duckdb` beside `reflection.duckdb`), and those of the knowledge graph,
 * where `graphFiles` names none. By name, so that every look meets the same order.
 */
export async function filesBeside(
  path: string,
  graphFiles: readonly string[] | undefined,
): Promise<string[]> {
  const folder = dirname(path);
  const extension = extname(path);
  const stem = basename(path, extension);
  const graph =
    graphFiles === undefined ? /^knowledge_graph(_[A-Za-z0-9_-]+)?\.duckdb$/ : undefined;
  const isBeside = (name: string) => {
    if (name === basename(path)) return false;
    const collection =
      name.startsWith(`${stem}_`) && name.endsWith(extension)
        ? name.slice(stem.length + 1, name.length - extension.length)
        : "";
    return /^[A-Za-z0-9_]+$/.test(collection) || (graph?.test(name) ?? false);
  };
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    // Reading the file itself tells what is wrong with the folder.
    names = [];
  }
  const found = names.filter(isBeside).sort();
  return [...new Set([...found.map((name) => join(folder, name)), ...(graphFiles ?? [])])];
}
