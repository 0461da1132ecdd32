import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  closeStatement,
  errorResponse,
  finalStatus,
  greetingFor,
  MessageReader,
  ProtocolError,
  query,
  readyForQuery,
  renamed,
  startupMessage,
  statementReference,
  statementText,
  sync,
  withoutParseComplete,
} from "./embedded-postgres-wire.ts";

const message = (type: string, body: string | Buffer) => {
  const bytes = Buffer.concat([Buffer.from(`${type}\0\0\0\0`), Buffer.from(body as Buffer)]);
  bytes.writeInt32BE(bytes.length - 1, 1);
  return { type, bytes };
};
const read = (bytes: Buffer) => {
  const reader = new MessageReader();
  reader.push(bytes);
  return reader;
};

describe("the reader", () => {
  test("gives the same messages however the bytes are cut", () => {
    const messages = [query("select 1"), sync, closeStatement("ä"), query("x".repeat(3_000))];
    const all = Buffer.concat(messages);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: all.length })), (cuts) => {
        const reader = new MessageReader();
        const got: Buffer[] = [];
        let from = 0;
        for (const to of [...cuts.toSorted((a, b) => a - b), all.length]) {
          reader.push(all.subarray(from, to));
          from = to;
          for (let next = reader.message(); next; next = reader.message()) got.push(next.bytes);
        }
        expect(got).toEqual(messages);
      }),
    );
  });

  test("knows what begins a session", () => {
    expect(read(startupMessage({ user: "me" })).startup()).toEqual({ kind: "startup" });
    const request = (code: number, ...rest: number[]) => {
      const bytes = Buffer.alloc(8 + rest.length * 4);
      for (const [i, word] of [bytes.length, code, ...rest].entries()) {
        bytes.writeInt32BE(word, i * 4);
      }
      return bytes;
    };
    expect(read(request(80_877_103)).startup()).toEqual({ kind: "encryption" });
    expect(read(request(80_877_104)).startup()).toEqual({ kind: "encryption" });
    expect(read(request(80_877_102, 7, -9)).startup()).toEqual({
      kind: "cancel",
      processId: 7,
      secret: -9,
    });
    // Version 3.2 differs in nothing that is used.
    expect(read(request(196_610)).startup()).toEqual({ kind: "startup" });
    for (const bytes of [request(80_877_102), request(131_072), Buffer.alloc(8, 0xff)]) {
      expect(() => read(bytes).startup()).toThrow(ProtocolError);
    }
    expect(read(request(196_608).subarray(0, 7)).startup()).toBeUndefined();
    const partial = startupMessage({ user: "me" });
    expect(read(partial.subarray(0, partial.length - 1)).startup()).toBeUndefined();
  });

  test("lets nothing through but messages of the protocol", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 5, maxLength: 40 }), (bytes) => {
        const reader = read(Buffer.from(bytes));
        try {
          const next = reader.message();
          if (next !== undefined) expect("QPBDECHSXFdcf").toContain(next.type);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
    expect(() => read(Buffer.from([81, 0x7f, 0xff, 0xff, 0xff])).message()).toThrow("length");
    expect(() => read(Buffer.from([81, 0, 0, 0, 3])).message()).toThrow("length");
  });
});

describe("names of prepared statements", () => {
  const body = (...parts: string[]) => parts.join("\0");

  test.each([
    ["P", body("name", "select 1", "\0")],
    ["B", body("portal", "name", "rest")],
    ["D", body("Sname", "")],
    ["C", body("Sname", "")],
  ])("are found and changed in %s", (type, text) => {
    const before = message(type, text);
    const at = statementReference(before);
    if (at === undefined) throw new Error("not found");
    expect(at.name).toBe("name");
    const after = renamed(before, at, "c12_1");
    expect(after.bytes.toString("latin1", 5)).toBe(text.replace("name", "c12_1"));
    expect(after.bytes.readInt32BE(1)).toBe(after.bytes.length - 1);
  });

  test("are not seen where there are none", () => {
    for (const other of [message("D", "Pportal\0"), message("E", "\0"), message("Q", "x\0")]) {
      expect(statementReference(other)).toBeUndefined();
    }
    expect(() => statementReference(message("P", "no end"))).toThrow(ProtocolError);
  });

  test("stand before the text of Parse", () => {
    expect(statementText(message("P", body("name", "select 1", "\0")))).toBe("select 1");
    expect(statementText({ type: "Q", bytes: query("select 2") })).toBe("select 2");
    expect(statementText({ type: "S", bytes: sync })).toBeUndefined();
  });
});

describe("answers", () => {
  test("end with the status of the transaction", () => {
    const answer = Buffer.concat([errorResponse("ERROR", "42601", "no"), readyForQuery("E")]);
    expect(finalStatus(answer)).toBe("E");
    expect(finalStatus(readyForQuery("I"))).toBe("I");
    expect(finalStatus(Buffer.from("1\0\0\0\x04"))).toBeUndefined();
    expect(finalStatus(Buffer.alloc(0))).toBeUndefined();
  });

  test("lose the ParseComplete that nobody asked for", () => {
    const complete = message("1", "").bytes;
    const rest = readyForQuery("I");
    expect(withoutParseComplete(Buffer.concat([complete, rest]))).toEqual(rest);
    expect(withoutParseComplete(rest)).toEqual(rest);
  });

  test("give each client numbers of its own in the greeting", () => {
    const key = message("K", Buffer.alloc(8)).bytes;
    const greeting = Buffer.concat([message("R", Buffer.alloc(4)).bytes, key, readyForQuery("I")]);
    const changed = greetingFor(greeting, 5, 6);
    expect(changed.readInt32BE(9 + 5)).toBe(5);
    expect(changed.readInt32BE(9 + 9)).toBe(6);
    expect(greeting.readInt32BE(9 + 5)).toBe(0);
    expect(changed.subarray(0, 9)).toEqual(greeting.subarray(0, 9));
  });
});
