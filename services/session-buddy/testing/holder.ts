/**
 * A program that holds a DuckDB file open, as Session-Buddy does while it runs: takes a file, then
 * one statement a line, and answers each with a line.
 */
import { createInterface } from "node:readline";
import { DuckDb } from "../duckdb.ts";

const database = await DuckDb.open(process.argv[2] ?? "", "write");
process.stdout.write("holding\n");
for await (const sql of createInterface({ input: process.stdin })) {
  await database.script(sql);
  process.stdout.write("done\n");
}
await database[Symbol.asyncDispose]();
