import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { ofPlatform } from "./collection-row.ts";

/** The text search configurations that the database knows, by name. */
export async function textLanguages(from: Queryable, signal?: AbortSignal): Promise<string[]> {
  const { rows } = await from.query<{ name: string }>(
    "select cfgname as name from pg_ts_config where pg_ts_config_is_visible(oid) order by cfgname",
    [],
    signal,
  );
  return rows.map((row) => row.name);
}

/**
 * Makes the words of all texts in a table anew, in another language, and those of later texts too:
 * in one transaction, so that whoever searches meanwhile finds by the old words or by the new ones.
 * Writers wait until it is over. Of several processes that want the same, one does it; returns
 * whether it was this one. `database` must have no time limit for statements. The language must be
 * one of `textLanguages`.
 */
export async function changeTextLanguage(
  database: Postgres,
  { collection, table }: { readonly collection: string; readonly table: string },
  language: string,
  signal: AbortSignal,
): Promise<boolean> {
  return await database.transaction(async (tx) => {
    // Writers take the collection's row before the table too, so nobody waits in a circle.
    const { rows } = await tx.query<{ text_language: string }>(
      `select text_language from collections c where ${ofPlatform} and c.name = $1 for update`,
      [collection],
    );
    if (rows[0] === undefined || rows[0].text_language === language) return false;
    await tx.query("select index_texts($1, $2)", [table, language]);
    await tx.query(`update ${table} set content = content, lexemes = null`);
    await tx.query(
      `update collections c set text_language = $2 where ${ofPlatform} and c.name = $1`,
      [collection, language],
    );
    return true;
  }, signal);
}
