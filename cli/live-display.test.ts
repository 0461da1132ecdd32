import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { LiveDisplay } from "./live-display.ts";

/** A stream that remembers what was written, as a terminal or as a file. */
function output(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 40, rows: 24 });
  const text = () => {
    let read = "";
    for (let next = stream.read(); next !== null; next = stream.read()) read += String(next);
    return read;
  };
  return { stream: stream as unknown as NodeJS.WriteStream, text };
}

describe("LiveDisplay", () => {
  it("draws in place on a terminal, within its width, and leaves it clean", () => {
    const { stream, text } = output(true);
    const display = new LiveDisplay(stream);
    display.draw(["one", "x".repeat(100)]);
    expect(text()).toContain(`one\n${"x".repeat(39)}\n`);
    display.draw(["two", "y"]);
    const second = text();
    expect(second).toContain("\x1b[");
    expect(second).toContain("two");
    display.say("stays");
    const third = text();
    expect(third).toContain("\x1b[");
    expect(third.endsWith("stays\n")).toBe(true);
    display.tell("for files only", true);
    expect(text()).toBe("");
    display.draw(["three"]);
    display.clear();
    expect(text()).toMatch(/2K/);
  });

  it("writes a line now and then where there is no terminal", () => {
    const { stream, text } = output(false);
    const display = new LiveDisplay(stream);
    display.draw(["never"]);
    display.tell("too early");
    display.tell("due", true);
    display.tell("too soon after");
    display.say("stays");
    display.clear();
    expect(text()).toBe("due\nstays\n");
  });
});
