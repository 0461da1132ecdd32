import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sleep } from "../../shared/lifecycle.ts";
import { requestCancel } from "../../shared/postgres/cancel-request.ts";
import { pgliteTemplate } from "../../test/harness/postgres-template.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";
import { query, startupMessage, sync } from "./embedded-postgres-wire.ts";

let server: EmbeddedPostgres;
const failures: unknown[] = [];
const opened: (Client | Socket)[] = [];

beforeAll(async () => {
  server = await startEmbeddedPostgres({
    port: 0,
    files: await pgliteTemplate(),
    maxConnections: 12,
    longestHoldMs: 300,
    onFailure: (error) => failures.push(error),
  });
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  const client = await connected();
  await client.query("drop table if exists rows; create table rows (a integer)");
});
afterEach(async () => {
  for (const one of opened.splice(0)) {
    if (one instanceof Client) await one.end().catch(() => {});
    else one.destroy();
  }
  // Whatever a test did, the server serves on, and nobody's session is left.
  await expect.poll(() => server.connections).toBe(0);
  const client = await connected();
  expect((await client.query("select $1::int as n", [1])).rows).toEqual([{ n: 1 }]);
  await client.end();
  expect(failures).toEqual([]);
});

async function connected(): Promise<Client> {
  const client = new Client({ connectionString: server.url });
  client.on("error", () => {});
  await client.connect();
  opened.push(client);
  return client;
}

function kill(client: Client): void {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}

async function count(): Promise<number> {
  const { rows } = await (await connected()).query("select count(*)::int as n from rows");
  return rows[0].n;
}

/** Bytes as text without what cannot be printed; ReadyForQuery ends as `ZI`, `ZT` or `ZE`. */
const printable = (bytes: Buffer) => bytes.toString("latin1").replace(/[^ -~]/g, "");

/** A client of the bare protocol, past its start; `answer` waits for what came to match. */
async function bare() {
  const socket = connect(server.port, "127.0.0.1");
  opened.push(socket);
  socket.on("error", () => {});
  await once(socket, "connect");
  let got = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    got = Buffer.concat([got, chunk]);
  });
  const answer = async (until = /Z[ITE]$/) => {
    await expect.poll(() => printable(got), { timeout: 5_000 }).toMatch(until);
    const text = printable(got);
    got = Buffer.alloc(0);
    return text;
  };
  socket.write(startupMessage({ user: "me", database: "mahavishnu" }));
  await answer();
  return { socket, answer };
}

function frame(type: string, body: string): Buffer {
  const bytes = Buffer.from(`${type}\0\0\0\0${body}`, "latin1");
  bytes.writeInt32BE(bytes.length - 1, 1);
  return bytes;
}
const parse = (name: string, text: string) => frame("P", `${name}\0${text}\0\0\0`);
const bind = (name: string) => frame("B", `\0${name}\0\0\0\0\0\0\0`);
const execute = frame("E", "\0\0\0\0\0");
const flush = frame("H", "");

describe("statements of several clients", () => {
  test("may have the same name", async () => {
    const [one, two] = [await connected(), await connected()];
    for (let round = 0; round < 3; round++) {
      expect((await one.query({ name: "s", text: "select 1 as n" })).rows).toEqual([{ n: 1 }]);
      expect((await two.query({ name: "s", text: "select 2 as n" })).rows).toEqual([{ n: 2 }]);
    }
    await one.end();
    const three = await connected();
    expect((await three.query({ name: "s", text: "select 3 as n" })).rows).toEqual([{ n: 3 }]);
    expect((await two.query({ name: "s", text: "select 2 as n" })).rows).toEqual([{ n: 2 }]);
  });

  test("leave with their client", async () => {
    const statements = async () => {
      const { rows } = await (await connected()).query(
        "select count(*)::int as n from pg_prepared_statements where name <> ''",
      );
      return rows[0].n;
    };
    const client = await connected();
    await client.query({ name: "one", text: "select 1" });
    await client.query({ name: "two", text: "select 2" });
    expect(await statements()).toBe(2);
    await client.end();
    await expect.poll(statements).toBe(0);
  });

  test("may be prepared without a name in one turn and run in another", async () => {
    const [one, two] = [await bare(), await bare()];
    one.socket.write(Buffer.concat([parse("", "select 'of one'"), sync]));
    two.socket.write(Buffer.concat([parse("", "select 'of two'"), sync]));
    await Promise.all([one.answer(), two.answer()]);
    for (let round = 0; round < 3; round++) {
      one.socket.write(Buffer.concat([bind(""), execute, sync]));
      const answer = await one.answer();
      expect(answer).toContain("of one");
      // BindComplete comes first: the second preparation is not the client's to see.
      expect(answer[0]).toBe("2");
      two.socket.write(Buffer.concat([bind(""), execute, sync]));
      expect(await two.answer()).toContain("of two");
    }
  });

  test("may be closed, and prepared anew", async () => {
    const { socket, answer } = await bare();
    socket.write(Buffer.concat([parse("x", "select 'first'"), sync]));
    await answer();
    socket.write(Buffer.concat([frame("C", "Sx\0"), parse("x", "select 'second'"), bind("x")]));
    socket.write(Buffer.concat([execute, sync]));
    expect(await answer()).toContain("second");
    socket.write(Buffer.concat([bind("unknown"), sync]));
    expect(await answer()).toContain("C26000");
  });
});

describe("a client that dies", () => {
  test("rolls back, in a transaction and before its first answer", async () => {
    for (let round = 0; round < 12; round++) {
      const client = await connected();
      client.query("begin; insert into rows values (1)").catch(() => {});
      await sleep(round % 4);
      kill(client);
    }
    expect(await count()).toBe(0);
  });

  test("undoes what it had not yet ended by a Sync", async () => {
    const { socket, answer } = await bare();
    socket.write(parse("", "insert into rows values (1)"));
    socket.write(Buffer.concat([bind(""), execute, flush]));
    await answer(/INSERT 0 1/);
    socket.destroy();
    expect(await count()).toBe(0);
  });

  test("undoes that after an error too", async () => {
    const { socket, answer } = await bare();
    socket.write(Buffer.concat([query("begin"), query("insert into rows values (1)")]));
    await answer();
    socket.write(Buffer.concat([parse("", "selec"), flush]));
    await answer(/C42601/);
    socket.destroy();
    expect(await count()).toBe(0);
  });

  test("gives up the turn that it waits for", async () => {
    const [holder, waiter] = [await connected(), await connected()];
    await holder.query("begin");
    waiter.query("insert into rows values (1)").catch(() => {});
    await sleep(50);
    kill(waiter);
    await sleep(50);
    await holder.query("commit");
    expect(await count()).toBe(0);
  });
});

describe("turns", () => {
  test("never mix two clients, however large their messages are", async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, connected));
    await Promise.all(
      clients.map(async (client, who) => {
        for (let round = 0; round < 12; round++) {
          const padding = "x".repeat((round % 3) * 100_000);
          const { rows } = await client.query("select $1::int as who, length($2) as size", [
            who,
            padding,
          ]);
          expect(rows).toEqual([{ who, size: padding.length }]);
        }
      }),
    );
  });

  test("are lost by who keeps a transaction open in silence while others wait", async () => {
    const [silent, other] = [await connected(), await connected()];
    await silent.query("begin");
    await silent.query("insert into rows values (1)");
    const ended = once(silent, "error");
    expect((await other.query("select count(*)::int as n from rows")).rows).toEqual([{ n: 0 }]);
    expect((await ended)[0]).toMatchObject({ code: "25P03" });
  });

  test("are kept while nobody waits", async () => {
    const alone = await connected();
    await alone.query("begin");
    await sleep(700);
    await alone.query("insert into rows values (1)");
    await alone.query("commit");
    expect(await count()).toBe(1);
  });

  test("are given back by a cancel request, which stops nothing that runs", async () => {
    const [holder, waiter] = [await connected(), await connected()];
    await holder.query("begin");
    const waiting = waiter.query("insert into rows values ($1)", [1]);
    waiting.catch(() => {});
    await sleep(50);
    await requestCancel(waiter);
    await requestCancel(holder);
    await expect(waiting).rejects.toMatchObject({ code: "57014" });
    await holder.query("insert into rows values (2)");
    await holder.query("commit");
    expect((await waiter.query("select a from rows")).rows).toEqual([{ a: 2 }]);
  });
});

describe("what it cannot serve", () => {
  test.each([
    ["a web browser", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["zeros", Buffer.alloc(64)],
    ["all bits", Buffer.alloc(64, 0xff)],
    ["an old protocol", Buffer.from([0, 0, 0, 8, 0, 2, 0, 0])],
  ])("is refused as a start: %s", async (_, bytes) => {
    const socket = connect(server.port, "127.0.0.1");
    opened.push(socket);
    socket.on("error", () => {});
    socket.write(bytes);
    const closed = once(socket, "close");
    const [answer] = await once(socket, "data");
    expect(printable(answer)).toContain("C08P01");
    await closed;
  });

  test.each([
    ["an unknown type", frame("z", "abc")],
    ["a type of zero", frame("\0", "abc")],
    ["a length below four", Buffer.from([81, 0, 0, 0, 1])],
    ["a length beyond all bounds", Buffer.from([81, 0x7f, 0xff, 0xff, 0xff])],
    ["a password that nobody asked for", frame("p", "secret\0")],
  ])("ends the session: %s", async (_, bytes) => {
    const { socket, answer } = await bare();
    const closed = once(socket, "close");
    socket.write(bytes);
    expect(await answer(/C08P01/)).toContain("SFATAL");
    await closed;
  });

  test("is answered with an error when only the body is wrong", async () => {
    const { socket, answer } = await bare();
    socket.write(Buffer.concat([parse("", "select 1"), frame("B", "\0\0\0"), sync]));
    expect(await answer()).toContain("C08P01");
    socket.write(query("select 'still here'"));
    expect(await answer()).toContain("still here");
  });

  test("is refused: COPY FROM STDIN, in every way to ask for it", async () => {
    const client = await connected();
    const refusal = { code: "0A000" };
    await expect(client.query("copy rows from stdin")).rejects.toMatchObject(refusal);
    await expect(client.query("select 1; COPY rows (a) FROM STDIN")).rejects.toMatchObject(refusal);
    const prepared = client.query({ text: "copy rows from stdin", values: [] });
    await expect(prepared).rejects.toMatchObject(refusal);
    const extended = client.query({ name: "copy", text: "copy rows from stdin" });
    await expect(extended).rejects.toMatchObject(refusal);
    expect((await client.query("select 'copy x from stdin' as t")).rows).toHaveLength(1);
  });

  test("is refused in the protocol's words: too many clients", async () => {
    const room = 12 - server.connections;
    await Promise.all(Array.from({ length: room }, connected));
    await expect(connected()).rejects.toMatchObject({ code: "53300" });
  });
});

test("tells its clients when it stops, and closes in the middle of a transaction", async () => {
  const stopping = await startEmbeddedPostgres({ port: 0, files: await pgliteTemplate() });
  const client = new Client({ connectionString: stopping.url });
  client.on("error", () => {});
  const ended = once(client, "error");
  await client.connect();
  await client.query("begin");
  await stopping[Symbol.asyncDispose]();
  expect((await ended)[0]).toMatchObject({ code: "57P01" });
});
