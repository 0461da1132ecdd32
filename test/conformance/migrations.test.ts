import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLogger } from "../../shared/logging.ts";
import { MigrationError, migrate } from "../../shared/postgres/migrate.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { postgresReadiness } from "../../shared/postgres/readiness.ts";
import { schemaState } from "../../shared/postgres/schema-state.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore(
  "migrations",
  (_kind, database) => {
    let directory: string;
    let postgres: Postgres;

    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), "mahavishnu-migrations-"));
      postgres = database().open({ poolSize: 2 });
      file("0001_first.sql", "create table first (a integer); insert into first values (1);");
      file("0002_second.sql", "alter table first add column b text default 'b';");
    });
    afterEach(async () => {
      rmSync(directory, { recursive: true });
      await postgres.query("drop table if exists schema_migrations, first, third");
      await postgres[Symbol.asyncDispose]();
    });
    const file = (name: string, sql: string) => writeFileSync(join(directory, name), sql);
    const run = (signal?: AbortSignal) =>
      migrate({ url: database().url, directory, logger: silentLogger(), signal });
    const landed = async () => {
      const { rows } = await postgres.query(
        "select version, name from schema_migrations order by 1",
      );
      return rows;
    };

    test("are applied once, in order", async () => {
      expect(await run()).toEqual({ applied: ["0001_first.sql", "0002_second.sql"], revision: 2 });
      expect(await run()).toEqual({ applied: [], revision: 2 });
      expect((await postgres.query("select * from first")).rows).toEqual([{ a: 1, b: "b" }]);
      file("0004_third.sql", "create table third (a integer)");
      expect(await run()).toEqual({ applied: ["0004_third.sql"], revision: 4 });
      expect(await landed()).toEqual([
        { version: 1, name: "0001_first.sql" },
        { version: 2, name: "0002_second.sql" },
        { version: 4, name: "0004_third.sql" },
      ]);
    });

    test("are applied once by many who start together", async () => {
      const results = await Promise.all(Array.from({ length: 6 }, () => run()));
      const applied = results.flatMap((one) => one.applied);
      expect(applied.toSorted()).toEqual(["0001_first.sql", "0002_second.sql"]);
      expect((await postgres.query("select count(*)::int as n from first")).rows).toEqual([
        { n: 1 },
      ]);
    });

    test("leave nothing of a file that fails, and go on from there", async () => {
      file("0003_third.sql", "create table third (a integer); insert into nowhere values (1);");
      const error = await run().catch((e) => e);
      expect(error).toBeInstanceOf(MigrationError);
      expect(error.message).toMatch(/^0003_third\.sql: .*nowhere/);
      expect((await postgres.query("select to_regclass('third') as t")).rows).toEqual([
        { t: null },
      ]);
      expect(await schemaState(postgres, { directory })).toMatchObject({ current: 2, required: 3 });
      file("0003_third.sql", "create table third (a integer);");
      expect(await run()).toEqual({ applied: ["0003_third.sql"], revision: 3 });
    });

    test("refuse a file that ends its transaction", async () => {
      file("0003_third.sql", "create table third (a integer); commit;");
      await expect(run()).rejects.toThrow(/0003_third\.sql.*must not end/);
    });

    test("refuse a file that was changed after it was applied", async () => {
      await run();
      file("0001_first.sql", "create table first (a bigint);");
      file("0003_third.sql", "create table third (a integer)");
      await expect(run()).rejects.toThrow("0001_first.sql was changed after it was applied");
      expect(await landed()).toHaveLength(2);
    });

    test("take line ends of Windows for the same", async () => {
      file("0001_first.sql", "create table first\n(a integer);\n");
      await run();
      file("0001_first.sql", "create table first\r\n(a integer);\r\n");
      expect(await run()).toMatchObject({ applied: [] });
    });

    test("refuse a database that is newer, one whose file is gone, and a number in between", async () => {
      file("0004_third.sql", "create table third (a integer)");
      await run();
      file("0003_between.sql", "select 1");
      await expect(run()).rejects.toThrow("0003_between.sql is numbered below revision 4");
      rmSync(join(directory, "0003_between.sql"));
      rmSync(join(directory, "0002_second.sql"));
      await expect(run()).rejects.toThrow("0002_second.sql was applied and is missing here");
      rmSync(join(directory, "0004_third.sql"));
      await expect(run()).rejects.toThrow("the database is at revision 4");
    });

    test("stop when the signal aborts, and leave nothing half done", async () => {
      file("0003_third.sql", "create table third (a integer); select pg_sleep(1);");
      await expect(run(AbortSignal.timeout(300))).rejects.toMatchObject({ name: "TimeoutError" });
      await expect
        .poll(() => schemaState(postgres, { directory }), { timeout: 10_000 })
        .toMatchObject({ current: 2, upToDate: false });
    });

    test("decide whether the database is ready", async () => {
      const state = () => schemaState(postgres, { directory });
      expect(await state()).toEqual({
        current: 0,
        required: 2,
        upToDate: false,
        message: "the schema is at revision 0, 2 is needed: run `npm run migrate`",
      });
      expect(await postgresReadiness(postgres, { directory })).toMatchObject({ ready: false });
      await run();
      expect(await state()).toMatchObject({ current: 2, upToDate: true });
      expect(await postgresReadiness(postgres, { directory })).toMatchObject({
        ready: false,
        message: "the extension vector is not installed in the database",
        vectorVersion: undefined,
      });
      rmSync(join(directory, "0002_second.sql"));
      expect(await state()).toMatchObject({ current: 2, required: 1, upToDate: false });
    });
  },
  { migrations: null },
);
