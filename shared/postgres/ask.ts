import { type ClientBase, Query, type QueryResult } from "pg";
import type { Statement } from "./queryable.ts";

/**
 * Sends a statement on a connection and gives its result.
 *
 * By node-postgres's callback: the promise that it would give makes every result outlive several
 * collections of young objects, which cost as much as the statement itself. And by a query of our
 * own making, since it copies a configuration property by property.
 */
export function ask(
  client: ClientBase,
  statement: Statement,
  params: readonly unknown[],
): Promise<QueryResult> {
  return new Promise((resolve, reject) => {
    const told = (error: Error | undefined, result: unknown) => {
      if (error) reject(error);
      else resolve(result as QueryResult);
    };
    client.query(new NamedQuery(statement, params, told));
  });
}

/** `name` is what node-postgres reads; without one, the server parses the text each time. */
class NamedQuery extends Query {
  readonly name: string | undefined;

  constructor(
    statement: Statement,
    params: readonly unknown[],
    told: (error: Error | undefined, result: unknown) => void,
  ) {
    const { text, name } = typeof statement === "string" ? { text: statement } : statement;
    super(text, params as unknown[], told);
    this.name = name;
  }
}
