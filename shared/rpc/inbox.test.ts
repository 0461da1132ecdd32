import { expect, test } from "vitest";
import { Inbox } from "./inbox.ts";
import { Outbox } from "./outbox.ts";
import { rejection } from "./testing/conditions.ts";

const bytes = (text: string) => Buffer.from(text);

function inbox() {
  let asked = 0;
  let givenUp = 0;
  const box = new Inbox<string>(
    () => asked++,
    (message) => {
      const text = message.toString();
      if (text === "bad") throw new Error("cannot decode");
      return text;
    },
    () => givenUp++,
  );
  return { box, asked: () => asked, givenUp: () => givenUp };
}

test("asks for one message at a time, up to 16 ahead of the reader", async () => {
  const { box, asked } = inbox();
  box.open();
  box.open();
  expect(asked()).toBe(1);
  for (let i = 0; i < 16; i++) box.push(bytes(String(i)));
  expect(asked()).toBe(16);
  expect(await box.next()).toEqual({ done: false, value: "0" });
  expect(asked()).toBe(17);
});

test("asks for no more once 64 KiB wait", async () => {
  const { box, asked } = inbox();
  box.open();
  box.push(Buffer.alloc(64 * 1024));
  expect(asked()).toBe(1);
  await box.next();
  expect(asked()).toBe(2);
});

test("serves several readers in the order in which they asked", async () => {
  const { box } = inbox();
  const readers = [box.next(), box.next(), box.next()];
  box.push(bytes("a"));
  box.push(bytes("b"));
  box.end();
  expect((await Promise.all(readers)).map((step) => step.value)).toEqual(["a", "b", undefined]);
});

test("what came before the end or a failure can still be read", async () => {
  const ended = inbox().box;
  ended.push(bytes("a"));
  ended.end();
  ended.push(bytes("late"));
  expect([await ended.next(), await ended.next()]).toEqual([
    { done: false, value: "a" },
    { done: true, value: undefined },
  ]);

  const failed = inbox().box;
  failed.push(bytes("a"));
  failed.fail(new Error("gone"));
  failed.fail(new Error("again"));
  expect((await failed.next()).value).toBe("a");
  expect(await rejection(failed.next())).toEqual(new Error("gone"));
  const waiting = inbox().box;
  const reader = rejection(waiting.next());
  waiting.fail(new Error("gone"));
  expect(await reader).toEqual(new Error("gone"));
});

test("a message that cannot be decoded fails its reader", async () => {
  const { box } = inbox();
  box.push(bytes("bad"));
  expect(await rejection(box.next())).toEqual(new Error("cannot decode"));
});

test("a reader that leaves drops what waits and asks for nothing more", async () => {
  const { box, asked, givenUp } = inbox();
  box.push(bytes("a"));
  box.push(bytes("b"));
  const before = asked();
  for await (const _ of box) break;
  box.push(bytes("c"));
  expect((await box.next()).done).toBe(true);
  expect([asked(), givenUp()]).toEqual([before, 1]);
});

test("an outbox is full at 128 KiB, tiny messages counting for 256 bytes", async () => {
  const box = new Outbox();
  await box.room();
  const written = Array.from({ length: 512 }, () => box.sending(1));
  expect(box.full).toBe(true);
  let woken = false;
  const room = box.room().then(() => {
    woken = true;
  });
  written[0]?.();
  await room;
  expect([woken, box.full]).toEqual([true, false]);
});

test("an outbox whose call is over is never full", async () => {
  const box = new Outbox();
  box.sending(1_000_000);
  const room = box.room();
  box.close();
  await room;
  expect(box.full).toBe(false);
});
