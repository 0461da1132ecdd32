/** A value that node-postgres can send; a Buffer travels in binary, undefined elements are null. */
export type SqlValue = string | number | boolean | null | Buffer | readonly (string | undefined)[];

/** Collects the values of a statement: nothing that a caller sent ever becomes part of its text. */
export class SqlParameters {
  readonly values: SqlValue[] = [];

  /** Adds a value and returns what stands for it in the statement: `$3`. */
  add(value: SqlValue): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }
}

/** What is sent to the database: a text that a program wrote, and values that callers may have. */
export interface Statement {
  readonly text: string;
  readonly parameters: SqlParameters;
}
