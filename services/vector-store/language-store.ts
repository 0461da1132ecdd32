import type { Logger } from "../../shared/logging.ts";
import type { PostgresConfig } from "../../shared/postgres/config.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import { defaultCollection } from "./collection.ts";
import { CollectionNotFoundError } from "./errors.ts";
import { ofPlatform } from "./sql/collection-row.ts";
import { changeTextLanguage, textLanguages } from "./sql/text-language-sql.ts";
import type { LanguageStore } from "./text-language.ts";

/** The language of the collection `memories`, in PostgreSQL. */
export class PostgresLanguageStore implements LanguageStore {
  readonly #database: Postgres;
  readonly #config: PostgresConfig;
  readonly #logger: Logger;

  constructor(database: Postgres, config: PostgresConfig, logger: Logger) {
    this.#database = database;
    this.#config = config;
    this.#logger = logger;
  }

  async language(signal: AbortSignal): Promise<string> {
    const { rows } = await this.#database.query<{ text_language: string }>(
      `select text_language from collections c where ${ofPlatform} and c.name = $1`,
      [defaultCollection],
      signal,
    );
    const [row] = rows;
    if (row === undefined) throw new CollectionNotFoundError(defaultCollection);
    return row.text_language;
  }

  async languages(signal: AbortSignal): Promise<readonly string[]> {
    return await textLanguages(this.#database, signal);
  }

  /** The change has a connection of its own, without a time limit; nothing is served meanwhile. */
  async change(language: string, signal: AbortSignal): Promise<void> {
    const unlimited = { ...this.#config, poolSize: 1, statementTimeoutMs: 0 };
    await using database = new Postgres(unlimited, this.#logger);
    const began = performance.now();
    this.#logger.info({ language }, "indexing all texts anew");
    const place = { collection: defaultCollection, table: defaultCollection };
    const changed = await changeTextLanguage(database, place, language, signal);
    const ms = Math.round(performance.now() - began);
    this.#logger.info({ language, changed, ms }, "texts are indexed in this language");
  }
}
