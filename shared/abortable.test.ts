import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { late, untilAborted, within } from "./abortable.ts";

const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

test("gives the outcome, and leaves nobody listening", async () => {
  const { signal } = new AbortController();
  expect(await untilAborted(Promise.resolve(1), signal)).toBe(1);
  await expect(untilAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
  expect(await untilAborted(Promise.resolve(2), undefined)).toBe(2);
  expect(listeners(signal)).toBe(0);
});

test("rejects with the signal's reason as soon as it aborts", async () => {
  const controller = new AbortController();
  const waiting = untilAborted(new Promise(() => {}), controller.signal);
  expect(listeners(controller.signal)).toBe(1);
  const reason = new Error("gone");
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(untilAborted(new Promise(() => {}), controller.signal)).rejects.toBe(reason);
});

test("prefers an outcome that is there to an abort that was there as well", async () => {
  const signal = AbortSignal.abort(new Error("gone"));
  expect(await untilAborted(Promise.resolve(1), signal)).toBe(1);
});

test("a promise that fails after the abort is nobody's unhandled rejection", async () => {
  const controller = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const waiting = untilAborted(promise, controller.signal);
  controller.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  reject(new Error("too late"));
  await new Promise((resolve) => setImmediate(resolve));
});

test("gives late in the place of an outcome that takes longer", async () => {
  expect(await within(new Promise(() => {}), 1)).toBe(late);
  expect(await within(Promise.resolve(1), 10_000)).toBe(1);
  expect(await within(Promise.resolve(2), 0)).toBe(2);
  await expect(within(Promise.reject(new Error("no")), 10_000)).rejects.toThrow("no");
});
