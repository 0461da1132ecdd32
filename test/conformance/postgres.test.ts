import { afterEach, beforeEach, expect, test } from "vitest";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import { postgresReadiness } from "../../shared/postgres/readiness.ts";
import { withRetry } from "../../shared/postgres/retry.ts";
import { SqlError } from "../../shared/postgres/sql-errors.ts";
import { describeEachStore, type OpenOptions } from "../harness/postgres.ts";

describeEachStore("the pool", (kind, database) => {
  let postgres: Postgres;
  const open = (options?: OpenOptions) => database().open(options);

  beforeEach(async () => {
    postgres = open({ poolSize: 4 });
    await postgres.query("drop table if exists things");
    await postgres.query("create table things (id integer primary key, name text)");
  });
  afterEach(async () => {
    await postgres[Symbol.asyncDispose]();
  });
  const count = async () => {
    const { rows } = await postgres.query<{ n: number }>("select count(*)::int as n from things");
    return rows[0]?.n;
  };

  test("gives every session its settings, where the server knows any", async () => {
    await using set = new Postgres({
      url: database().url,
      poolSize: 2,
      statementTimeoutMs: 5_000,
      applicationName: "mahavishnu-test",
      sessionSettings: ["jit=off", "work_mem=5MB"],
    });
    const { rows } = await set.query(
      "select current_setting('jit') as jit, current_setting('work_mem') as memory",
    );
    if (kind === "postgres") expect(rows).toEqual([{ jit: "off", memory: "5MB" }]);
    else expect(rows).toHaveLength(1);
  });

  test("gives rows and their number", async () => {
    const inserted = await postgres.query("insert into things values ($1, $2), ($3, $4)", [
      1,
      "one",
      2,
      null,
    ]);
    expect(inserted).toMatchObject({ rows: [], rowCount: 2 });
    const read = await postgres.query("select * from things order by id");
    expect(read).toMatchObject({
      rows: [
        { id: 1, name: "one" },
        { id: 2, name: null },
      ],
      rowCount: 2,
    });
    expect(postgres.stats()).toEqual({ total: 1, idle: 1, waiting: 0, max: 4 });
  });

  test("treats values as values, whatever they look like", async () => {
    const name = "x'); drop table things; --";
    await postgres.query("insert into things values (1, $1)", [name]);
    const { rows } = await postgres.query("select id from things where name = $1", [name]);
    expect(rows).toEqual([{ id: 1 }]);
  });

  test("keeps names of statements apart between clients and over many calls", async () => {
    const other = open();
    const results = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const [pool, text] =
          i % 2 ? [postgres, "select $1::int + 1 as n"] : [other, "select $1::int * 2 as n"];
        const { rows } = await pool.query<{ n: number }>({ name: "same", text }, [i]);
        return rows[0]?.n;
      }),
    );
    expect(results).toEqual(Array.from({ length: 40 }, (_, i) => (i % 2 ? i + 1 : i * 2)));
  });

  test("runs more callers than connections, and leaks none", async () => {
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        postgres.query<{ i: number }>("select $1::int as i", [i]).then(({ rows }) => rows[0]?.i),
      ),
    );
    expect(results).toEqual(Array.from({ length: 200 }, (_, i) => i));
    const { total, idle, waiting } = postgres.stats();
    expect(total).toBeLessThanOrEqual(4);
    expect({ idle, waiting }).toEqual({ idle: total, waiting: 0 });
  });

  test("says what the server refuses without text of the driver's", async () => {
    await postgres.query("insert into things values (1, 'secret')");
    const error = await postgres.query("insert into things values (1, 'secret')").catch((e) => e);
    expect(error).toBeInstanceOf(SqlError);
    expect(error).toMatchObject({
      kind: "already_exists",
      reason: "CONFLICT",
      sqlState: "23505",
      constraint: "things_pkey",
      table: "things",
      retryable: false,
    });
    expect(error.message).not.toMatch(/things|duplicate|secret/);
    const syntax = await postgres.query("selec 'secret'").catch((e) => e);
    expect(syntax).toMatchObject({ kind: "internal", sqlState: "42601" });
    const value = await postgres.query("select $1::int", ["secret"]).catch((e) => e);
    expect(value).toMatchObject({ kind: "internal", sqlState: "22P02" });
    expect(value.cause.message).toBe("22P02");
    expect(value.cause.stack).not.toMatch(/secret/);
  });

  test("commits what resolves and rolls back what rejects", async () => {
    const result = await postgres.transaction(async (tx) => {
      await tx.query("insert into things values (1, 'kept')");
      return "done";
    });
    expect(result).toBe("done");
    const failure = new Error("no");
    await expect(
      postgres.transaction(async (tx) => {
        await tx.query("insert into things values (2, 'lost')");
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await count()).toBe(1);
  });

  test("refuses to commit when a failed statement was ignored", async () => {
    await expect(
      postgres.transaction(async (tx) => {
        await tx.query("insert into things values (1, 'a')");
        await tx.query("insert into things values (1, 'b')").catch(() => {});
      }),
    ).rejects.toThrow("its error was ignored");
    expect(await count()).toBe(0);
  });

  test("waits for the statements that a transaction started, and refuses later ones", async () => {
    let late: (() => Promise<unknown>) | undefined;
    await postgres.transaction(async (tx) => {
      void tx.query("insert into things values (1, 'a')");
      void tx.query("insert into things values (2, 'b')");
      late = () => tx.query("insert into things values (3, 'c')");
    });
    expect(await count()).toBe(2);
    await expect(late?.()).rejects.toThrow("the transaction is over");
    expect(await count()).toBe(2);
  });

  test("runs nothing of a transaction after it failed", async () => {
    await expect(
      postgres.transaction(async (tx) => {
        await Promise.all([
          tx.query("insert into things values (1, 'a')"),
          tx.query("insert into things values (1, 'b')"),
          tx.query("insert into things values (2, 'c')"),
        ]);
      }),
    ).rejects.toMatchObject({ sqlState: "23505" });
    expect(await count()).toBe(0);
    expect(postgres.stats()).toMatchObject({ waiting: 0 });
  });

  test("takes an isolation level and read only", async () => {
    const { rows } = await postgres.transaction(
      (tx) => tx.query("select current_setting('transaction_isolation') as level"),
      { isolation: "serializable" },
    );
    expect(rows).toEqual([{ level: "serializable" }]);
    await expect(
      postgres.transaction((tx) => tx.query("insert into things values (1, 'a')"), {
        readOnly: true,
      }),
    ).rejects.toMatchObject({ sqlState: "25006" });
  });

  test("does nothing for a signal that has aborted", async () => {
    const reason = new Error("gone");
    await expect(
      postgres.query("insert into things values (1, 'a')", [], AbortSignal.abort(reason)),
    ).rejects.toBe(reason);
    await expect(postgres.transaction(async () => {}, AbortSignal.abort(reason))).rejects.toBe(
      reason,
    );
    expect(await count()).toBe(0);
  });

  test("lets the caller go when the signal aborts, and the connection when it is at rest", async () => {
    const stop = new AbortController();
    const reason = new Error("gone");
    let ended = false;
    const sleeping = postgres.query("select pg_sleep(1)", [], stop.signal).finally(() => {
      ended = true;
    });
    sleeping.catch(() => {});
    await sleep(100);
    expect(ended).toBe(false);
    stop.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
    const { total, idle } = postgres.stats();
    expect(total - idle).toBe(1);
    await expect
      .poll(() => postgres.stats(), { timeout: 10_000 })
      .toMatchObject({ total: 1, idle: 1 });
    await postgres.ping();
  });

  test.runIf(kind === "postgres")("cancels the statement on the server", async () => {
    const signal = AbortSignal.timeout(200);
    await expect(postgres.query("select pg_sleep(60)", [], signal)).rejects.toMatchObject({
      name: "TimeoutError",
    });
    const others = async () => {
      const { rows } = await postgres.query<{ n: number }>(
        "select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()",
      );
      return rows[0]?.n;
    };
    await expect.poll(others, { timeout: 5_000 }).toBe(0);
  });

  test("rolls back when the signal aborts within a transaction", async () => {
    const stop = new AbortController();
    const reason = new Error("gone");
    const running = postgres.transaction(async (tx) => {
      await tx.query("insert into things values (1, 'a')");
      setTimeout(() => stop.abort(reason), 50);
      await tx.query("select pg_sleep(1)");
    }, stop.signal);
    await expect(running).rejects.toBe(reason);
    expect(await count()).toBe(0);
    await expect
      .poll(() => postgres.stats().total - postgres.stats().idle, { timeout: 10_000 })
      .toBe(0);
  });

  test("rolls back when the signal aborts between two statements", async () => {
    const stop = new AbortController();
    const reason = new Error("gone");
    const running = postgres.transaction(async (tx) => {
      await tx.query("insert into things values (1, 'a')");
      stop.abort(reason);
      await sleep(50);
      await tx.query("insert into things values (2, 'b')");
    }, stop.signal);
    await expect(running).rejects.toBe(reason);
    expect(await count()).toBe(0);
  });

  test("ends a statement that takes too long", async () => {
    const impatient = open({ poolSize: 1, statementTimeoutMs: 200 });
    await expect(impatient.query("select pg_sleep(4)")).rejects.toMatchObject({
      kind: "deadline_exceeded",
      reason: "DEADLINE_EXCEEDED",
    });
  });

  test("refuses those who would wait when too many do, and those who wait too long", async () => {
    const small = open({ poolSize: 1, maxWaiting: 1, acquireTimeoutMs: 300 });
    await small.ping();
    const { promise: release, resolve } = Promise.withResolvers<void>();
    const holding = small.transaction(async () => release);
    await expect.poll(() => small.stats().idle).toBe(0);
    const waiting = small.ping();
    const refused = small.ping();
    await expect(refused).rejects.toMatchObject({
      kind: "resource_exhausted",
      reason: "OVERLOADED",
      retryAfterMs: 1_000,
    });
    await expect(waiting).rejects.toMatchObject({ reason: "OVERLOADED" });
    resolve();
    await holding;
    await small.ping();
  });

  test("gives a connection back that came after its caller had gone", async () => {
    const small = open({ poolSize: 1 });
    await small.ping();
    const { promise: release, resolve } = Promise.withResolvers<void>();
    const holding = small.transaction(async () => release);
    await expect.poll(() => small.stats().idle).toBe(0);
    await expect(small.query("select 1", [], AbortSignal.timeout(50))).rejects.toThrow();
    resolve();
    await holding;
    await expect.poll(() => small.stats()).toMatchObject({ total: 1, idle: 1, waiting: 0 });
    await small.ping();
  });

  test.runIf(kind === "postgres")("replaces a connection that the server ended", async () => {
    const one = open({ poolSize: 1 });
    const killed = one.query("select pg_terminate_backend(pg_backend_pid())");
    await expect(killed).rejects.toMatchObject({ reason: "DEPENDENCY_UNAVAILABLE" });
    const { rows } = await withRetry(() => one.query("select 1 as n"));
    expect(rows).toEqual([{ n: 1 }]);
    // In a transaction the whole of it is lost, and said to be.
    const lost = one.transaction(async (tx) => {
      await tx.query("insert into things values (1, 'a')");
      await tx.query("select pg_terminate_backend(pg_backend_pid())");
    });
    await expect(lost).rejects.toBeInstanceOf(DomainError);
    expect(await count()).toBe(0);
  });

  test.runIf(kind === "postgres")("does a transaction again that lost to another", async () => {
    await postgres.query("insert into things values (1, '0')");
    let tries = 0;
    const increment = () =>
      withRetry(
        () => {
          tries += 1;
          return postgres.transaction(
            async (tx) => {
              const { rows } = await tx.query<{ n: number }>("select name::int as n from things");
              await sleep(20);
              await tx.query("update things set name = $1", [String((rows[0]?.n ?? 0) + 1)]);
            },
            { isolation: "serializable" },
          );
        },
        { attempts: 20 },
      );
    await Promise.all([increment(), increment(), increment()]);
    expect((await postgres.query("select name from things")).rows).toEqual([{ name: "3" }]);
    expect(tries).toBeGreaterThan(3);
  });

  test("is used no more once it is closed", async () => {
    const closed = open();
    await closed.ping();
    await closed[Symbol.asyncDispose]();
    await closed[Symbol.asyncDispose]();
    await expect(closed.ping()).rejects.toBeInstanceOf(DependencyUnavailableError);
  });

  test("is ready after the migrations", async () => {
    const readiness = await postgresReadiness(postgres);
    expect(readiness).toMatchObject({ ready: true });
    expect(readiness.vectorVersion).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await postgres.facts()).toMatchObject({ embedded: kind === "pglite" });
  });
});
