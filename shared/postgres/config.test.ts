import { expect, test } from "vitest";
import { ConfigError, readSettings } from "../config.ts";
import {
  configuredPostgresUrl,
  postgresAddress,
  postgresConfig,
  postgresSettings,
  postgresUrl,
} from "./config.ts";

const values = (env: Record<string, string>, file: unknown = {}) =>
  readSettings(postgresSettings, { env, file });
const url = (env: Record<string, string>) => postgresUrl(values(env));

test("uses the embedded server where nothing is configured", () => {
  expect(url({})).toBe("postgres://mahavishnu@127.0.0.1:54329/mahavishnu");
  expect(url({ MAHAVISHNU_EMBEDDED_PG_PORT: "6000" })).toContain("127.0.0.1:6000/");
  expect(configuredPostgresUrl({ env: {}, file: {} })).toBeUndefined();
});

test("takes a URL, or makes one of single values", () => {
  const given = "postgresql://u:p@db.example:6543/name?sslmode=require";
  expect(url({ MAHAVISHNU_PG_URL: given, MAHAVISHNU_PG_HOST: "elsewhere" })).toBe(given);
  expect(url({ MAHAVISHNU_PG_HOST: "db" })).toBe("postgres://mahavishnu@db:5432/mahavishnu");
  expect(
    url({
      MAHAVISHNU_PG_HOST: "db",
      MAHAVISHNU_PG_PORT: "6543",
      MAHAVISHNU_PG_DATABASE: "a/b",
      MAHAVISHNU_PG_USER: "me@home",
      MAHAVISHNU_PG_PASSWORD: "p:w@/?#",
    }),
  ).toBe("postgres://me%40home:p%3Aw%40%2F%3F%23@db:6543/a%2Fb");
  expect(url({ MAHAVISHNU_PG_HOST: "::1" })).toContain("@[::1]:5432/");
  expect(url({ MAHAVISHNU_PG_HOST: "/run/postgresql" })).toBe(
    "postgres://mahavishnu@%2Frun%2Fpostgresql:5432/mahavishnu",
  );
});

test("reads the file, and lets the environment win", () => {
  const file = { postgresql: { host: "of-file", port: 1, pool_size: 10, max_overflow: 2 } };
  const read = values({ MAHAVISHNU_PG_PORT: "2" }, file);
  expect(postgresUrl(read)).toContain("@of-file:2/");
  expect(postgresConfig(read, "health").poolSize).toBe(1);
});

test("gives each process its share, name and timeout", () => {
  expect(postgresConfig(values({}), "vector-store")).toEqual({
    url: "postgres://mahavishnu@127.0.0.1:54329/mahavishnu",
    poolSize: 20,
    statementTimeoutMs: 30_000,
    applicationName: "mahavishnu-vector-store",
  });
});

test("names every mistake at once", () => {
  const mistakes = {
    MAHAVISHNU_PG_URL: "mysql://db/x",
    MAHAVISHNU_PG_PORT: "0",
    MAHAVISHNU_PG_POOL_SIZE: "5",
    MAHAVISHNU_PG_MAX_OVERFLOW: "-1",
    MAHAVISHNU_PG_STATEMENT_TIMEOUT_MS: "soon",
  };
  const error = (() => {
    try {
      return values(mistakes);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(ConfigError);
  const { problems } = error as ConfigError;
  expect(problems.map((problem) => problem.split(":")[0])).toEqual(Object.keys(mistakes));
});

test("wants a host where the rest of a server is named", () => {
  expect(() => url({ MAHAVISHNU_PG_PORT: "5432", MAHAVISHNU_PG_USER: "me" })).toThrow(
    "MAHAVISHNU_PG_HOST: is missing, while MAHAVISHNU_PG_PORT, MAHAVISHNU_PG_USER is set",
  );
});

test("shows an address without secrets", () => {
  expect(postgresAddress("postgres://u:secret@db.example:6543/x")).toBe("db.example:6543");
  expect(postgresAddress("postgres://u:secret@db.example/x")).toBe("db.example:5432");
  expect(postgresAddress("postgres://u@%2Frun:5432/x")).toBe("/run:5432");
});
