import { describe, expect, it } from "vitest";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { silentLogger } from "../../shared/logging.ts";
import { BudgetExceededError, type PeerCall, within } from "./deadline.ts";
import { LeftAloneError, PeerGuard } from "./peer-guard.ts";

const call = (timeoutMs = 1_000): PeerCall => ({
  tenant: "t",
  signal: new AbortController().signal,
  timeoutMs,
});
const down = () => Promise.reject(new DependencyUnavailableError("session-buddy", "down"));
const up = () => Promise.resolve("answered");

/** A peer that does what it is told next, and counts how often it is asked. */
function suite(halfOpenAfterMs: number) {
  let answer: () => Promise<string> = up;
  let asked = 0;
  const guard = new PeerGuard("session-buddy", silentLogger(), { threshold: 2, halfOpenAfterMs });
  const ask = () => {
    asked++;
    return answer();
  };
  return {
    guard,
    ask,
    search: (one = call()) =>
      guard
        .ask(one, ask)
        .catch((error: unknown) => (error instanceof LeftAloneError ? "left alone" : "failed")),
    become(next: typeof answer) {
      answer = next;
    },
    asked: () => asked,
  };
}

describe("a peer that fails", () => {
  it("is left alone after failures in a row, and not asked meanwhile", async () => {
    const { search, become, asked } = suite(3_600_000);
    become(down);
    expect(await search()).toBe("failed");
    become(up);
    expect(await search()).toBe("answered");
    become(down);
    expect([await search(), await search(), await search()]).toEqual([
      "failed",
      "failed",
      "left alone",
    ]);
    become(up);
    expect(await search()).toBe("left alone");
    expect(asked()).toBe(4);
  });

  it("is tried in the background, one search at a time, and asked again once that succeeds", async () => {
    const { search, become, asked, guard } = suite(0);
    become(down);
    await search();
    await search();
    expect(guard.state).toBe("open");
    const trial = Promise.withResolvers<string>();
    become(() => trial.promise);
    // None of these waits for the trial, and there is one trial only.
    expect([await search(), await search(), await search()]).toEqual(
      Array.from({ length: 3 }, () => "left alone"),
    );
    expect(asked()).toBe(3);
    expect(guard.state).toBe("half_open");
    trial.resolve("answered");
    for (let turns = 0; turns < 100 && guard.state !== "closed"; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    become(up);
    expect(await search()).toBe("answered");
  });

  it("by silence counts as one that is down, unless the caller had hardly any time", async () => {
    const { guard, become, search, ask } = suite(3_600_000);
    become(() => new Promise(() => {}));
    const silent = async (budgetMs: number, timeoutMs: number) => {
      const whole = { tenant: "t", signal: new AbortController().signal, deadline: undefined };
      await expect(
        within(whole, budgetMs, (peerCall) => guard.ask({ ...peerCall, timeoutMs }, ask)),
      ).rejects.toThrow(BudgetExceededError);
      await new Promise((resolve) => setImmediate(resolve));
    };
    for (let times = 0; times < 3; times++) await silent(1, 60);
    expect(guard.state).toBe("closed");
    await silent(1, 1_000);
    await silent(1, 1_000);
    expect(guard.state).toBe("open");
    expect(await search()).toBe("left alone");
  });

  it("is none where the caller asked wrongly or went away", async () => {
    const { guard, become, search } = suite(3_600_000);
    become(() => Promise.reject(new DomainError("invalid_argument", "INVALID_FIELD", "no")));
    for (let times = 0; times < 3; times++) expect(await search()).toBe("failed");
    become(() => new Promise(() => {}));
    for (let times = 0; times < 3; times++) {
      expect(await search({ ...call(), signal: AbortSignal.abort() })).toBe("failed");
    }
    expect(guard.state).toBe("closed");
  });
});
