/**
 * Rows of parameters to join a table of documents with, as the source `i(tenant, ...columns)`.
 * `$1` is the tenant, `arrays` are the others, each with its type.
 *
 * The tenant stands in a column and not in the condition, and `offset 0` keeps the planner from
 * seeing through it: until a table is analyzed, which on the embedded server it never is, a tenant
 * looks like one of two hundred, and reading all of it, for each batch, like the quickest way to a
 * few of its rows. Like this the choice is between looking each row up in a unique index and reading
 * the table, whose size is known.
 */
export function givenRows(arrays: string, columns: string): string {
  return `(select $1::text as tenant, given.* from unnest(${arrays}) given(${columns}) offset 0) i`;
}
