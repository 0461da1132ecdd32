import type { Postgres } from "../../../shared/postgres/postgres.ts";
import type { Statement } from "./parameters.ts";
import { StatementNames } from "./statement-names.ts";

const prepared = 500;

/** Runs statements, the frequent ones prepared. */
export class Statements {
  readonly #database: Postgres;
  readonly #names = new StatementNames(prepared);

  constructor(database: Postgres) {
    this.#database = database;
  }

  async rows<Row>(
    { text, parameters }: Statement,
    signal: AbortSignal | undefined,
  ): Promise<readonly Row[]> {
    const name = this.#names.nameOf(text);
    const sql = name === undefined ? text : { name, text };
    return (await this.#database.query<Row>(sql, parameters.values, signal)).rows;
  }

  /** The column `count` of the only row. */
  async count(statement: Statement, signal: AbortSignal | undefined): Promise<bigint> {
    const [row] = await this.rows<{ count: string }>(statement, signal);
    return BigInt(row?.count ?? 0);
  }
}
