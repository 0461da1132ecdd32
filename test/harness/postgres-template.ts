import { randomBytes } from "node:crypto";
import { openAsBlob } from "node:fs";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";

/**
 * The files of an empty database, for servers that start from them in a fifth of the time. Made
 * once on a machine and kept among its temporary files, for each version of PGlite.
 */
export async function pgliteTemplate(): Promise<Blob> {
  const manifest = new URL("../package.json", import.meta.resolve("@electric-sql/pglite"));
  const { version } = JSON.parse(await readFile(manifest, "utf8"));
  const path = join(tmpdir(), `mahavishnu-pglite-${version}-${process.getuid?.() ?? 0}.tar`);
  if (!(await exists(path))) {
    const db = await PGlite.create({ extensions: { vector } });
    const files = await db.dumpDataDir("none");
    await db.close();
    // Beside and moved into place: another test file may look for it at any moment.
    const beside = `${path}.${randomBytes(6).toString("hex")}`;
    await writeFile(beside, files.stream());
    await rename(beside, path);
  }
  return await openAsBlob(path);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
