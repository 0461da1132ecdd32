import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";

interface Wire {
  on(event: "dataRow", listener: (message: { fields: Buffer[] }) => void): void;
  once(event: "readyForQuery", listener: () => void): void;
  parse(query: { text: string }): void;
  bind(config: object): void;
  execute(config: object): void;
  sync(): void;
}

describe("the one session of the embedded PostgreSQL", () => {
  let server: EmbeddedPostgres;
  const clients: pg.Client[] = [];

  beforeEach(async () => {
    server = await startEmbeddedPostgres({ port: 0, longestHoldMs: 300 });
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.end().catch(() => {})));
    await server[Symbol.asyncDispose]();
  });

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: server.url });
    client.on("error", () => {});
    await client.connect();
    clients.push(client);
    return client;
  }

  it("never gives a client the rows of another, however their messages meet", async () => {
    const many = await Promise.all(Array.from({ length: 8 }, connect));
    await Promise.all(
      many.map(async (client, me) => {
        for (let round = 0; round < 60; round += 1) {
          // Large enough to arrive in several pieces.
          const padding = "x".repeat((round % 4) * 60_000);
          const { rows } = await client.query(
            "select $1::int as me, $2::int as round, length($3::text) as size",
            [me, round, padding],
          );
          expect(rows).toEqual([{ me, round, size: padding.length }]);
        }
      }),
    );
  });

  it("keeps a unit whole whose messages arrive with pauses", async () => {
    const [slow, other] = [await connect(), await connect()];
    // The client's own wire, to send the messages of one query one by one.
    const wire = (slow as unknown as { connection: Wire }).connection;
    const seen: string[] = [];
    wire.on("dataRow", ({ fields }) => seen.push(String(fields[0])));
    const ready = new Promise<void>((resolve) => wire.once("readyForQuery", () => resolve()));
    wire.parse({ text: "select 'mine' as whose" });
    await sleep(50);
    const theirs = other.query("select $1::text as whose", ["theirs"]);
    await sleep(50);
    wire.bind({});
    wire.execute({});
    wire.sync();
    await ready;
    expect(seen).toEqual(["mine"]);
    expect((await theirs).rows).toEqual([{ whose: "theirs" }]);
  });

  it("keeps transactions apart, errors within them too", async () => {
    const many = await Promise.all(Array.from({ length: 4 }, connect));
    await many[0]?.query("create table counts (who int primary key, n int not null)");
    await Promise.all(
      many.map(async (client, who) => {
        await client.query("insert into counts values ($1, 0)", [who]);
        for (let round = 0; round < 20; round += 1) {
          await client.query("begin");
          await client.query("update counts set n = n + 1 where who = $1", [who]);
          if (round % 2 === 0) {
            await expect(client.query("select 1 / $1::int", [0])).rejects.toMatchObject({
              code: "22012",
            });
            await client.query("rollback");
          } else await client.query("commit");
        }
      }),
    );
    const { rows } = await (await connect()).query("select n from counts order by who");
    expect(rows).toEqual([{ n: 10 }, { n: 10 }, { n: 10 }, { n: 10 }]);
  });

  it("rolls back what a client that died had open, and goes on", async () => {
    const [dying, other] = [await connect(), await connect()];
    await other.query("create table t (a int)");
    await dying.query("begin");
    await dying.query("insert into t values (1)");
    const waiting = other.query("select count(*)::int as n from t");
    (
      dying as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    expect((await waiting).rows).toEqual([{ n: 0 }]);
  });

  it("disconnects a client that keeps a transaction open in silence while others wait", async () => {
    const [silent, other] = [await connect(), await connect()];
    await silent.query("begin");
    await sleep(600);
    await silent.query("select 1");
    const { rows } = await other.query("select 2 as two");
    expect(rows).toEqual([{ two: 2 }]);
    await expect(silent.query("commit")).rejects.toThrow();
  });

  it("survives clients that do not speak the protocol", async () => {
    const { connect: open } = await import("node:net");
    const rubbish = open(server.port, "127.0.0.1");
    rubbish.on("error", () => {});
    rubbish.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await sleep(50);
    rubbish.destroy();
    const { rows } = await (await connect()).query("select 1 as one");
    expect(rows).toEqual([{ one: 1 }]);
  });
});
