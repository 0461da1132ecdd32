import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../shared/gen/google/rpc/error_details_pb.js";
import { awaitTurn, type InTheWay } from "./await-turn.ts";

const busy = () =>
  new ConnectError("busy", Code.Aborted, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "CONFLICT", metadata: { migration_id: "m" } } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 0n, nanos: 50_000_000 } } },
  ]);

/** Fails so many times. */
function failing(times: number, error: () => unknown = busy) {
  let tries = 0;
  const attempt = async () => {
    if (tries++ < times) throw error();
    return "done";
  };
  return { attempt, tries: () => tries };
}

describe("awaitTurn", () => {
  it("tries again until nothing is in the way, and tells once what is", async () => {
    const told: InTheWay[] = [];
    const { attempt, tries } = failing(3);
    expect(await awaitTurn(attempt, 60_000, (one) => told.push(one))).toBe("done");
    expect(tries()).toBe(4);
    expect(told).toEqual([{ id: "m", retrySeconds: 1, secondsLeft: 60 }]);
  });

  it("gives up after a while with what stood in the way", async () => {
    const { attempt, tries } = failing(Number.POSITIVE_INFINITY);
    await expect(awaitTurn(attempt, 500, () => {})).rejects.toMatchObject({ code: Code.Aborted });
    expect(tries()).toBeGreaterThan(1);
  });

  it("tells nothing where it does not wait, and waits for nothing else", async () => {
    const never = () => {
      throw new Error("told");
    };
    await expect(awaitTurn(failing(1).attempt, 0, never)).rejects.toThrow("busy");
    const other = failing(1, () => new ConnectError("lost", Code.Aborted));
    await expect(awaitTurn(other.attempt, 60_000, never)).rejects.toThrow("lost");
    expect(other.tries()).toBe(1);
  });
});
