import { existsSync, readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";

/** Where values come from: environment wins over file over default. */
export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The parsed YAML file; an empty object where there is none. */
  readonly file: unknown;
  /** The file's path, for messages. */
  readonly filePath?: string;
}

/** One setting: where it is read from and what it must be. */
export interface Setting<T = unknown> {
  /** Environment variable. */
  readonly env: string;
  /** Path in the YAML file, parts joined by dots. */
  readonly yaml?: string;
  /** Turns the raw value (text from the environment, any scalar from the file) into the value. */
  readonly schema: z.ZodType<T>;
  /** One sentence for people; the README's table is checked against it. */
  readonly about: string;
}

export type Settings = Readonly<Record<string, Setting>>;
export type Values<S extends Settings> = {
  -readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};

/** Every setting that is wrong or missing, in one error. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`configuration: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

export function setting<T>(
  env: string,
  schema: z.ZodType<T>,
  about: string,
  yaml?: string,
): Setting<T> {
  return yaml === undefined ? { env, schema, about } : { env, schema, about, yaml };
}

/** Schemas for values that arrive as text. */
export const kinds = {
  text: () => z.string().min(1),
  integer: (min: number, max: number) => z.coerce.number().int().min(min).max(max),
  port: () => z.coerce.number().int().min(0).max(65_535),
  flag: () => z.union([z.boolean(), z.stringbool()]),
  /** `host:port`, or a gRPC target such as `dns:///memory:50051`. */
  address: () =>
    z.string().regex(/^([a-z][a-z0-9+.-]*:\/{2,3})?[^\s/]+:\d{1,5}$/, "must be host:port"),
  /** Absolute paths, separated by commas or as a list. */
  paths: () =>
    z
      .union([z.array(z.string()), z.string().transform((list) => list.split(","))])
      .transform((list) => list.map((path) => path.trim()).filter((path) => path !== ""))
      .refine((list) => list.every(isAbsolute), "must be absolute paths, separated by commas"),
  url: (protocol: RegExp) => z.url({ protocol }),
  oneOf: <const T extends readonly [string, ...string[]]>(values: T) => z.enum(values),
};

/**
 * Reads the environment and the YAML file named by `MAHAVISHNU_CONFIG` (default
 * `settings/mahavishnu.yaml`, which may be absent; a file named explicitly may not).
 */
export function configSources(env: ConfigSources["env"] = process.env): ConfigSources {
  const named = env["MAHAVISHNU_CONFIG"];
  const filePath = named ?? "settings/mahavishnu.yaml";
  if (!existsSync(filePath)) {
    if (named !== undefined) throw new ConfigError([`MAHAVISHNU_CONFIG: no file at ${named}`]);
    return { env, file: {} };
  }
  try {
    return { env, file: parseYaml(readFileSync(filePath, "utf8")) ?? {}, filePath };
  } catch (error) {
    throw new ConfigError([`${filePath}: ${error instanceof Error ? error.message : error}`]);
  }
}

/** The value of each setting; throws one ConfigError that names every wrong or missing one. */
export function readSettings<S extends Settings>(settings: S, sources: ConfigSources): Values<S> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, one] of Object.entries(settings)) {
    const { raw, origin } = rawValue(one, sources);
    const parsed = one.schema.safeParse(raw);
    if (parsed.success) values[key] = parsed.data;
    else {
      const what =
        raw === undefined ? "is missing" : parsed.error.issues.map((i) => i.message).join(", ");
      problems.push(`${origin}: ${what}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values as Values<S>;
}

function rawValue(one: Setting, { env, file, filePath }: ConfigSources) {
  const fromEnv = env[one.env];
  if (fromEnv !== undefined && fromEnv !== "") return { raw: fromEnv, origin: one.env };
  const fromFile = one.yaml === undefined ? undefined : lookUp(file, one.yaml);
  if (fromFile !== undefined && fromFile !== null) {
    return { raw: fromFile, origin: `${filePath ?? "file"}: ${one.yaml}` };
  }
  return { raw: undefined, origin: one.env };
}

function lookUp(tree: unknown, path: string): unknown {
  let node: unknown = tree;
  for (const step of path.split(".")) {
    if (typeof node !== "object" || node === null) return undefined;
    node = (node as Record<string, unknown>)[step];
  }
  return node;
}
