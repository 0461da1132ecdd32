import type {
  Bound,
  Comparison,
  Condition,
  Filter,
  MetadataTest,
  Test,
  TextField,
  TextTest,
  TimeField,
} from "../filter.ts";
import { formatInstant, type Instant } from "../instant.ts";
import type { JsonValue, PresentJson } from "../json.ts";
import type { SqlParameters } from "./parameters.ts";

const textColumns: Readonly<Record<TextField, string>> = {
  id: "m.id",
  memory_type: "m.memory_type",
  source_system: "m.source_system",
  agent_id: "m.agent_id",
  workflow_id: "m.workflow_id",
  repo_id: "m.repo_id",
  content_hash: "m.content_hash",
};
const timeColumns: Readonly<Record<TimeField, string>> = {
  create_time: "m.created_at",
  update_time: "m.updated_at",
  expire_time: "m.expires_at",
};
const operators: Readonly<Record<Comparison, string>> = { gt: ">", gte: ">=", lt: "<", lte: "<=" };

/**
 * A filter as a SQL condition on the table alias `m`. Every value becomes a parameter; only
 * column names and operators of the tables above become text. A condition on an absent value is
 * null, which `where`, `and` and `or` take for false; `not` asks for it with `is not true`. So no
 * column needs to be wrapped, and indexes stay usable.
 */
export function filterSql(filter: Filter, parameters: SqlParameters): string {
  switch (filter.node) {
    case "all":
      return joined(filter.filters, " and ", parameters);
    case "any":
      return joined(filter.filters, " or ", parameters);
    case "not":
      return `((${filterSql(filter.filter, parameters)}) is not true)`;
    case "condition":
      return conditionSql(filter.condition, parameters);
  }
}

function joined(filters: readonly Filter[], by: string, parameters: SqlParameters): string {
  return `(${filters.map((one) => filterSql(one, parameters)).join(by)})`;
}

function conditionSql(condition: Condition, parameters: SqlParameters): string {
  switch (condition.on) {
    case "text":
      return textSql(textColumns[condition.field], condition.test, parameters);
    case "time":
      return timeSql(timeColumns[condition.field], condition.test, parameters);
    case "vector":
      return existsSql("m.embedding", condition.exists);
    case "metadata":
      return metadataSql(pathSql(condition.path, parameters), condition.test, parameters);
  }
}

function textSql(column: string, test: TextTest, parameters: SqlParameters): string {
  switch (test.kind) {
    case "equals":
      return `${column} = ${parameters.add(test.value)}::text`;
    case "one_of":
      return `${column} = any(${parameters.add(test.values)}::text[])`;
    case "range":
      return rangeSql(test.bounds, (value) => `${parameters.add(value)}::text`, column);
    case "exists":
      return existsSql(column, test.exists);
    case "contains": {
      // Unicode's own case rules, whatever the database's locale.
      const folded = (text: string) => `lower(${text} collate pg_c_utf8)`;
      return `strpos(${folded(column)}, ${folded(`${parameters.add(test.text)}::text`)}) > 0`;
    }
  }
}

function timeSql(column: string, test: Test<Instant>, parameters: SqlParameters): string {
  switch (test.kind) {
    case "equals":
      return `${column} = ${parameters.add(formatInstant(test.value))}::timestamptz`;
    case "one_of":
      return `${column} = any(${parameters.add(test.values.map(formatInstant))}::timestamptz[])`;
    case "range": {
      const value = (one: Instant) => `${parameters.add(formatInstant(one))}::timestamptz`;
      return rangeSql(test.bounds, value, column);
    }
    case "exists":
      return existsSql(column, test.exists);
  }
}

/** `->` with a text operand takes keys of objects only, which `#>` does not. */
function pathSql(path: readonly string[], parameters: SqlParameters): string {
  return path.reduce((sql, step) => `(${sql} -> ${parameters.add(step)}::text)`, "m.metadata");
}

function metadataSql(value: string, test: MetadataTest, parameters: SqlParameters): string {
  const json = (one: JsonValue) => `${parameters.add(JSON.stringify(one))}::jsonb`;
  switch (test.kind) {
    case "equals":
      return `${value} = ${json(test.value)}`;
    case "one_of": {
      const values = parameters.add(test.values.map((one) => JSON.stringify(one)));
      return `${value} = any(${values}::text[]::jsonb[])`;
    }
    case "range":
      return metadataRangeSql(value, test.bounds, parameters);
    case "exists":
      return test.exists
        ? `${value} <> 'null'::jsonb`
        : `((${value} <> 'null'::jsonb) is not true)`;
    case "contains":
      return containsSql(value, test.value, json);
  }
}

/** A value of another type than the bounds is outside; `case` keeps it from being converted. */
function metadataRangeSql(
  value: string,
  bounds: readonly Bound<string | number>[],
  parameters: SqlParameters,
): string {
  const numeric = typeof bounds[0]?.value === "number";
  const left = numeric ? `(${value})::numeric` : `((${value}) #>> '{}') collate "C"`;
  const type = numeric ? "numeric" : "text";
  const right = (one: string | number) => `${parameters.add(String(one))}::${type}`;
  return (
    `(case jsonb_typeof(${value}) when '${numeric ? "number" : "string"}' ` +
    `then ${rangeSql(bounds, right, left)} else false end)`
  );
}

/** Entries and elements are compared whole, where `@>` would also take parts of nested ones. */
function containsSql(value: string, wanted: PresentJson, json: (one: JsonValue) => string): string {
  const element =
    `exists (select from jsonb_array_elements(${value}) element(value) ` +
    `where element.value = ${json(wanted)})`;
  const isObject = typeof wanted === "object" && !Array.isArray(wanted);
  const entries = isObject
    ? `not exists (select from jsonb_each(${json(wanted)}) entry ` +
      `where ((${value} -> entry.key) = entry.value) is not true)`
    : "false";
  return (
    `(case jsonb_typeof(${value}) when 'array' then ${element} ` +
    `when 'object' then ${entries} else false end)`
  );
}

function rangeSql<T>(
  bounds: readonly Bound<T>[],
  parameter: (value: T) => string,
  left: string,
): string {
  const tests = bounds.map(
    ({ comparison, value }) => `${left} ${operators[comparison]} ${parameter(value)}`,
  );
  return `(${tests.join(" and ")})`;
}

function existsSql(column: string, exists: boolean): string {
  return `${column} is ${exists ? "not null" : "null"}`;
}
