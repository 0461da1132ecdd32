import { expect, test } from "vitest";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("postgres", (_kind, database) => {
  test("answers", async () => {
    const postgres = database().open();
    await postgres.ping();
    expect(postgres.stats()).toEqual({ total: 1, idle: 1, waiting: 0, max: 10 });
  });
});
