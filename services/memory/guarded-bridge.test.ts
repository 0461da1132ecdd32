import { describe, expect, it } from "vitest";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { silentLogger } from "../../shared/logging.ts";
import { BudgetExceededError, type PeerCall, within } from "./deadline.ts";
import { BridgeLeftAloneError, GuardedBridge } from "./guarded-bridge.ts";
import type { Bridge } from "./ports.ts";

const question = {
  query: "q",
  vector: undefined,
  memoryTypes: [],
  project: "",
  filter: undefined,
  limit: 1,
  minScore: 0,
};
const call = (timeoutMs = 1_000): PeerCall => ({
  tenant: "t",
  signal: new AbortController().signal,
  timeoutMs,
});
const down = () => Promise.reject(new DependencyUnavailableError("session-buddy", "down"));
const up = () => Promise.resolve({ hits: [], stale: undefined });

/** A bridge that does what it is told next, and counts how often it is asked. */
function suite(halfOpenAfterMs: number) {
  let answer: () => ReturnType<Bridge["search"]> = up;
  let asked = 0;
  const bridge: Bridge = {
    canTest: () => true,
    search: () => {
      asked++;
      return answer();
    },
    storeInsight: () => Promise.reject(new Error("not asked for")),
  };
  const guarded = new GuardedBridge(bridge, silentLogger(), { threshold: 2, halfOpenAfterMs });
  return {
    guarded,
    search: (one = call()) =>
      guarded.search(one, question).then(
        () => "answered",
        (error: unknown) => (error instanceof BridgeLeftAloneError ? "left alone" : "failed"),
      ),
    become(next: typeof answer) {
      answer = next;
    },
    asked: () => asked,
  };
}

describe("a bridge that fails", () => {
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
    const { search, become, asked, guarded } = suite(0);
    become(down);
    await search();
    await search();
    expect(guarded.state).toBe("open");
    const trial = Promise.withResolvers<Awaited<ReturnType<Bridge["search"]>>>();
    become(() => trial.promise);
    // None of these waits for the trial, and there is one trial only.
    expect([await search(), await search(), await search()]).toEqual(
      Array.from({ length: 3 }, () => "left alone"),
    );
    expect(asked()).toBe(3);
    expect(guarded.state).toBe("half_open");
    trial.resolve({ hits: [], stale: undefined });
    for (let turns = 0; turns < 100 && guarded.state !== "closed"; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    become(up);
    expect(await search()).toBe("answered");
  });

  it("by silence counts as one that is down, unless the caller had hardly any time", async () => {
    const { guarded, become, search } = suite(3_600_000);
    become(() => new Promise(() => {}));
    const silent = async (budgetMs: number, timeoutMs: number) => {
      const whole = { tenant: "t", signal: new AbortController().signal, deadline: undefined };
      await expect(
        within(whole, budgetMs, (peerCall) => guarded.search({ ...peerCall, timeoutMs }, question)),
      ).rejects.toThrow(BudgetExceededError);
      await new Promise((resolve) => setImmediate(resolve));
    };
    for (let times = 0; times < 3; times++) await silent(1, 60);
    expect(guarded.state).toBe("closed");
    await silent(1, 1_000);
    await silent(1, 1_000);
    expect(guarded.state).toBe("open");
    expect(await search()).toBe("left alone");
  });

  it("is none where the caller asked wrongly or went away", async () => {
    const { guarded, become, search } = suite(3_600_000);
    become(() => Promise.reject(new DomainError("invalid_argument", "INVALID_FIELD", "no")));
    for (let times = 0; times < 3; times++) expect(await search()).toBe("failed");
    become(() => new Promise(() => {}));
    for (let times = 0; times < 3; times++) {
      expect(await search({ ...call(), signal: AbortSignal.abort() })).toBe("failed");
    }
    expect(guarded.state).toBe("closed");
  });
});
