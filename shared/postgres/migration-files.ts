import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { contentHash } from "../hash.ts";

/** One numbered SQL file. */
export interface Migration {
  readonly version: number;
  /** The file's name: `0001_vector_store.sql`. */
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the text, line ends as \n, so that a checkout on Windows gives the same. */
  readonly checksum: string;
}

/** The project's own migrations. */
export const migrationsDirectory = resolve(import.meta.dirname, "../../migrations");

const fileName = /^(\d{4})_[a-z0-9_]+\.sql$/;

/**
 * The migrations of a directory, by number. Throws MigrationError for an SQL file with another
 * name than NNNN_name.sql, for a number that two files have, and for a directory without any.
 */
export function readMigrations(directory: string = migrationsDirectory): Migration[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(".sql"));
  const migrations = names.toSorted().map((name) => {
    const version = fileName.exec(name)?.[1];
    if (version === undefined) throw new MigrationError(`${name}: must be named NNNN_name.sql`);
    const sql = readFileSync(join(directory, name), "utf8").replaceAll("\r\n", "\n");
    return { version: Number(version), name, sql, checksum: contentHash(sql) };
  });
  if (migrations.length === 0) throw new MigrationError(`${directory} holds no migration`);
  for (const [i, { version, name }] of migrations.entries()) {
    const before = migrations[i - 1];
    if (before?.version === version) {
      throw new MigrationError(`${before.name} and ${name} have the same number`);
    }
  }
  return migrations;
}

/** The revision that this code needs: the number of the last migration. */
export function requiredRevision(directory: string = migrationsDirectory): number {
  return readMigrations(directory).at(-1)?.version ?? 0;
}

/** Why the schema cannot be brought to the needed revision; the message is for people. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}
