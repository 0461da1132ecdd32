import { DatabaseError } from "pg";
import { describe, expect, test } from "vitest";
import { DependencyUnavailableError } from "../errors.ts";
import { fromDriver, isConnectionLoss, isTransient, meaningOf, SqlError } from "./sql-errors.ts";

function databaseError(code: string | undefined, message = "text of the driver's"): DatabaseError {
  const error = new DatabaseError(message, 1, "error");
  if (code !== undefined) error.code = code;
  error.detail = "Key (content)=(secret) exists";
  error.constraint = "pk";
  return error;
}

describe("the table of SQLSTATEs", () => {
  test.each([
    ["40001", "aborted", true],
    ["40P01", "aborted", true],
    ["55P03", "aborted", true],
    ["57P01", "unavailable", true],
    ["57P02", "unavailable", true],
    ["57P03", "unavailable", true],
    ["53300", "unavailable", true],
    ["08006", "unavailable", true],
    ["08P01", "unavailable", true],
    ["25006", "unavailable", true],
    ["57014", "deadline_exceeded", false],
    ["53100", "resource_exhausted", false],
    ["53200", "resource_exhausted", false],
    ["53400", "resource_exhausted", false],
    ["54000", "invalid_argument", false],
    ["23505", "already_exists", false],
    ["23503", "internal", false],
    ["42P01", "internal", false],
    ["28P01", "unavailable", false],
    ["3D000", "unavailable", false],
    ["XX000", "internal", false],
    ["99999", "internal", false],
  ])("%s is %s, retryable: %s", (state, kind, retryable) => {
    expect(meaningOf(state)).toMatchObject({ kind, retryable });
    const error = new SqlError(databaseError(state));
    expect(error).toMatchObject({ kind, retryable, sqlState: state, constraint: "pk" });
    expect(isTransient(error)).toBe(retryable);
    expect(error.retryAfterMs === undefined).toBe(!retryable);
  });

  test("a driver's error without a code is a fault", () => {
    expect(new SqlError(databaseError(undefined))).toMatchObject({ sqlState: "XX000" });
  });
});

describe("an SqlError", () => {
  test("tells the caller nothing of the driver's words or the data", () => {
    for (const state of ["23505", "42601", "22001", "XX000"]) {
      const error = new SqlError(databaseError(state));
      expect(`${error.message} ${JSON.stringify(error.facts)}`).not.toMatch(/secret|driver/);
    }
  });

  test("keeps for the log what quotes no data", () => {
    const logged = (state: string) => {
      const { cause } = new SqlError(databaseError(state, 'quotes "secret"'));
      return cause as Error;
    };
    expect(logged("42601").message).toBe('42601: quotes "secret" (pk)');
    for (const state of ["22P02", "23505", "P0001"]) {
      expect(logged(state).message).toBe(`${state} (pk)`);
      expect(logged(state).stack).not.toContain("secret");
    }
    expect(JSON.stringify(logged("23505"))).not.toContain("secret");
  });
});

describe("other errors of the driver", () => {
  const coded = (code: string) => Object.assign(new Error("x"), { code });

  test.each([
    coded("ECONNREFUSED"),
    coded("ECONNRESET"),
    coded("ENOTFOUND"),
    new AggregateError([coded("ECONNREFUSED")]),
    new Error("Connection terminated unexpectedly"),
    new Error("Client has encountered a connection error and is not queryable"),
    databaseError("57P01"),
  ])("%s is a lost connection", (error) => {
    expect(isConnectionLoss(error)).toBe(true);
    expect(isTransient(fromDriver(error))).toBe(true);
  });

  test("a refused connection keeps its cause for the log", () => {
    const cause = coded("ECONNREFUSED");
    const error = fromDriver(cause);
    expect(error).toBeInstanceOf(DependencyUnavailableError);
    expect(error).toMatchObject({ cause, facts: { dependency: "postgresql" } });
  });

  test("anything else is left as it is, and never repeated", () => {
    const error = new TypeError("a bug");
    expect(fromDriver(error)).toBe(error);
    expect(isConnectionLoss("text")).toBe(false);
    expect(isTransient(error)).toBe(false);
    expect(isTransient(new DependencyUnavailableError("embedding", "down"))).toBe(false);
  });
});
