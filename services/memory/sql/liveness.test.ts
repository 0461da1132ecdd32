import { describe, expect, it } from "vitest";
import { DependencyUnavailableError, DomainError } from "../../../shared/errors.ts";
import { unlessBusy } from "./liveness.ts";

/** A database all of whose connections are taken unless told; pings fail as they are told to. */
class FakeDatabase {
  answers = 0;
  time = 0;
  idle = 0;
  fails: unknown = new DomainError("resource_exhausted", "OVERLOADED", "no free connection");
  duringPing = () => {};
  readonly check = unlessBusy(this, () => this.time);

  async ping() {
    this.duringPing();
    throw this.fails;
  }

  stats() {
    return { total: 4, idle: this.idle, waiting: 9, max: 4 };
  }
}

const open = new AbortController().signal;
const late = AbortSignal.abort(new DOMException("late", "TimeoutError"));

describe("the database counts as there", () => {
  it("while others are answered, though the look itself waits in vain", async () => {
    const database = new FakeDatabase();
    database.idle = 1;
    database.duringPing = () => {
      database.answers += 1;
    };
    await database.check(open);
    database.fails = late.reason;
    await database.check(late);
  });

  it("for a while without any answer where all connections are taken", async () => {
    const database = new FakeDatabase();
    await database.check(open);
    database.time = 9_000;
    await database.check(open);
    database.time = 11_000;
    await expect(database.check(open)).rejects.toThrow("no free connection");
    database.answers = 1;
    await database.check(open);
  });

  it("no longer where connections are free, or where it refuses", async () => {
    const database = new FakeDatabase();
    database.idle = 1;
    await expect(database.check(open)).rejects.toThrow("no free connection");
    database.idle = 0;
    database.fails = new DependencyUnavailableError("postgresql", "gone");
    await expect(database.check(open)).rejects.toThrow("gone");
  });
});
