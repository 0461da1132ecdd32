import { describe, expect, it } from "vitest";
import { Admission } from "./admission.ts";
import { OverloadedError } from "./errors.ts";

describe("Admission", () => {
  it("turns away what is too much, by texts and by bytes, until others have left", () => {
    const admission = new Admission({ texts: 3, bytes: 100, streams: 1 });
    const first = admission.enter(["a", "b"]);
    expect(() => admission.enter(["c", "d"])).toThrow(OverloadedError);
    expect(() => admission.enter(["x".repeat(60)])).toThrow(OverloadedError);
    first[Symbol.dispose]();
    expect(admission.texts).toBe(0);
    admission.enter(["c", "d"]);
  });

  it("lets a large request in when nobody else is inside", () => {
    const admission = new Admission({ texts: 1, bytes: 1, streams: 1 });
    admission.enter(["much", "more"]);
    expect(admission.texts).toBe(2);
  });

  it("bounds the streams, and says when to come again", () => {
    const admission = new Admission({ texts: 1, bytes: 1, streams: 1 });
    const stream = admission.enterStream();
    expect(() => admission.enterStream()).toThrow(
      expect.objectContaining({ reason: "OVERLOADED", retryAfterMs: 1_000 }),
    );
    stream[Symbol.dispose]();
    expect(admission.streams).toBe(0);
    admission.enterStream();
  });
});
