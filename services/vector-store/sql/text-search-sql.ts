import type { Filter } from "../filter.ts";
import { bm25, type Requirement, type ScoringFacts } from "../text-plan.ts";
import { isLive } from "./document-row.ts";
import { filterSql } from "./filter-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";

/** How a search by words is done. `language` is a text search configuration of PostgreSQL. */
export type TextLeg =
  /** Everything in one statement: the scope is counted, and each document with a word scored. */
  | { readonly way: "counted"; readonly language: string }
  /** The scope is known, and only documents that fulfil the requirement can be among the hits. */
  | ({ readonly way: "planned"; readonly requirement: Requirement } & ScoringFacts);

/** The documents that a search considers. */
export interface Scope {
  readonly table: string;
  readonly tenant: string;
  readonly filter: Filter | undefined;
}

/** A search by words, as parts of a statement over documents of the table alias `m`. */
export interface TextSql {
  /** CTEs that end in `scored (id, text_score)`, where whoever is among the best is. */
  readonly ctes: string;
  /** What to join to `m` for `score`. */
  readonly join: string;
  /** The score of the document `m`; null where the query has no searchable word. */
  readonly score: string;
}

export function textSql(
  leg: TextLeg,
  query: string,
  { table, where }: { readonly table: string; readonly where: string },
  parameters: SqlParameters,
): TextSql {
  if (leg.way === "counted") {
    return {
      ctes: countedSql(table, where, leg.language, query, parameters),
      join: "left join scored s on s.id = m.id cross join query q",
      score: "case when q.lexemes is not null then coalesce(s.text_score, 0)::real end",
    };
  }
  const scoring = scoringOf(leg, parameters);
  return {
    ctes: scoredSql(table, where, scoring, leg.requirement, "", parameters),
    join: "",
    score: `coalesce(${scoring.score("m.lexeme_count", scoring.found)}, 0)::real`,
  };
}

/**
 * Every document of the scope that holds a word of the query, with its BM25 score as a share of
 * the best that any document could reach, which is sum(idf) * (k1 + 1). A word that no document
 * holds counts in that sum too.
 *
 * The query becomes lexemes first, and the lexemes, quoted, a tsquery: no text is syntax. Since
 * every document with a query word is a candidate, document frequencies come from the candidates.
 * setweight and ts_filter leave of each document only what the query asks for, before anything is
 * unnested. A query without a searchable word has null lexemes and matches nothing.
 */
function countedSql(
  table: string,
  where: string,
  language: string,
  query: string,
  parameters: SqlParameters,
): string {
  const { k1, b } = bm25;
  const text = parameters.add(searchable(query));
  return `
query as materialized (
  select array_agg(lexeme) as lexemes,
    string_agg(
      '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | '
    )::tsquery as expression
  from unnest(to_tsvector(${parameters.add(language)}::regconfig, ${text}::text))
),
scope as materialized (
  select count(*)::float8 as documents, avg(m.lexeme_count)::float8 as mean_length
  from ${table} m where ${where} and (select lexemes from query) is not null
),
candidate as materialized (
  select m.id, m.lexeme_count, m.lexemes
  from ${table} m
  where ${where} and m.lexemes @@ (select expression from query)
),
occurrence as materialized (
  select c.id, c.lexeme_count, found.lexeme, cardinality(found.positions) as times
  from candidate c cross join query q
    cross join lateral unnest(ts_filter(setweight(c.lexemes, 'A', q.lexemes), '{a}')) found
),
term as materialized (
  select t.lexeme,
    ln(1 + (s.documents - coalesce(f.documents, 0) + 0.5) / (coalesce(f.documents, 0) + 0.5))
      as idf
  from query q cross join scope s cross join lateral unnest(q.lexemes) t(lexeme)
    left join (
      select lexeme, count(*)::float8 as documents from occurrence group by lexeme
    ) f on f.lexeme = t.lexeme
),
scored as materialized (
  select o.id, least(1, greatest(0,
    sum(t.idf * o.times
      / (o.times + ${k1} * (${1 - b} + ${b} * o.lexeme_count / s.mean_length)))
    / (select sum(idf) from term)))::real as text_score
  from occurrence o join term t on t.lexeme = o.lexeme cross join scope s
  group by o.id
)`;
}

export interface Scoring {
  /** What of a document's lexemes the query asks for. */
  readonly found: string;
  /** The score of a document of this length whose `found` lexemes these are. */
  score(length: string, found: string): string;
}

export function scoringOf(
  { lexemes, statistics }: ScoringFacts,
  parameters: SqlParameters,
): Scoring {
  const { k1, b } = bm25;
  const names = `${parameters.add(lexemes.map((one) => one.lexeme))}::text[]`;
  // Numbers as text keep every bit.
  const shares = `${parameters.add(lexemes.map((one) => String(one.share)))}::float8[]`;
  const mean = `${parameters.add(statistics.meanLength)}::float8`;
  return {
    found: `ts_filter(setweight(m.lexemes, 'A', ${names}), '{a}')`,
    score: (length, found) => `(
      select least(1, greatest(0, sum((${shares})[array_position(${names}, f.lexeme)]
        * cardinality(f.positions) / (cardinality(f.positions)
          + ${k1} * (${1 - b} + ${b} * ${length} / ${mean})))))
      from unnest(${found}) f)::real`,
  };
}

/** What is wide is filtered and left behind before anything is scored. */
function scoredSql(
  table: string,
  where: string,
  scoring: Scoring,
  requirement: Requirement,
  limited: string,
  parameters: SqlParameters,
): string {
  return `
candidate as materialized (
  select m.id, m.lexeme_count, ${scoring.found} as found
  from ${table} m
  where ${where} and m.lexemes @@ ${parameters.add(expression(requirement))}::tsquery${limited}
),
scored as materialized (
  select c.id, ${scoring.score("c.lexeme_count", "c.found")} as text_score from candidate c
)`;
}

/** The k-th best score of at most so many documents that fulfil the requirement: column `score`. */
export function probeStatement(
  scope: Scope,
  facts: ScoringFacts,
  requirement: Requirement,
  kth: number,
  most: number,
): Statement {
  const { parameters, where } = begin(scope);
  const scoring = scoringOf(facts, parameters);
  const limited = `\n  limit ${parameters.add(most)}::int`;
  const text = `
with ${scoredSql(scope.table, where, scoring, requirement, limited, parameters)}
select text_score as score from scored
order by text_score desc offset ${parameters.add(kth - 1)}::int limit 1`;
  return { text, parameters };
}

/** The lexemes of a text: rows of `lexeme`. */
export function lexemesStatement(language: string, query: string): Statement {
  const parameters = new SqlParameters();
  const text = parameters.add(searchable(query));
  return {
    text: `select lexeme from unnest(to_tsvector(${parameters.add(language)}::regconfig, ${text}::text))`,
    parameters,
  };
}

/** How many documents the scope has, counted up to `most`: column `documents`. */
export function scopeSizeStatement(scope: Scope, most: number): Statement {
  const { parameters, where } = begin(scope);
  const limit = `${parameters.add(most)}::int`;
  const text = `
select count(*)::float8 as documents
from (select from ${scope.table} m where ${where} limit ${limit}) counted`;
  return { text, parameters };
}

/**
 * How many documents the scope has: `documents`. Without a filter those of the tenant are counted
 * in an index alone, expired ones too; the sample tells how many of them live.
 */
export function scopeCountStatement(scope: Scope): Statement {
  const { parameters, where, inTenant } = begin(scope);
  const counted = scope.filter === undefined ? inTenant : where;
  const text = `select count(*)::float8 as documents from ${scope.table} m where ${counted}`;
  return { text, parameters };
}

/** What a sample tells of a scope. */
export interface SampleRow {
  /** Documents that were looked at, and how many of them belong to the scope. */
  readonly looked_at: number;
  readonly sampled: number;
  readonly mean_length: number | null;
  /** Lexemes that at least so many documents of the sample hold, and how many do. */
  readonly lexemes: readonly string[];
  readonly frequencies: readonly number[];
}

/**
 * Looks at one of `every` documents of what was counted, chosen by their ids, so that the sample is
 * spread over the scope whatever its order on disk. Without a filter the ids come from the index
 * alone, and only the sample's documents are read.
 */
export function sampleStatement(
  scope: Scope,
  every: number,
  fewest: number,
  most: number,
): Statement {
  const { parameters, where, inTenant } = begin(scope);
  const chosen = `mod(hashtext(m.id), ${parameters.add(every)}::int) = 0`;
  const columns = "m.lexemes, m.lexeme_count";
  const sample =
    scope.filter === undefined
      ? `chosen as materialized (select m.id from ${scope.table} m where ${inTenant} and ${chosen}),
sample as materialized (
  select ${columns}, ${isLive} as live
  from chosen join ${scope.table} m on ${inTenant} and m.id = chosen.id
)`
      : `sample as materialized (
  select ${columns}, true as live from ${scope.table} m where ${where} and ${chosen}
)`;
  const text = `
with ${sample},
frequent as materialized (
  select lexeme, count(*)::float8 as documents
  from sample cross join lateral unnest(tsvector_to_array(lexemes)) lexeme
  where live group by lexeme having count(*) >= ${parameters.add(fewest)}::int
  order by count(*) desc limit ${parameters.add(most)}::int
)
select count(*)::float8 as looked_at, count(*) filter (where live)::float8 as sampled,
  (avg(lexeme_count) filter (where live))::float8 as mean_length,
  array(select lexeme from frequent order by lexeme) as lexemes,
  array(select documents from frequent order by lexeme) as frequencies
from sample`;
  return { text, parameters };
}

/** In how many documents of the scope each lexeme stands, counted up to `most`. */
export function frequenciesStatement(
  scope: Scope,
  lexemes: readonly string[],
  most: number,
): Statement {
  const { parameters, where } = begin(scope);
  const asked = `${parameters.add(lexemes)}::text[], ${parameters.add(lexemes.map(quoted))}::text[]`;
  const text = `
select asked.lexeme, (
  select count(*)::float8 from (
    select from ${scope.table} m
    where ${where} and m.lexemes @@ asked.expression::tsquery
    limit ${parameters.add(most)}::int
  ) holding
) as documents
from unnest(${asked}) asked(lexeme, expression)`;
  return { text, parameters };
}

interface Beginning {
  readonly parameters: SqlParameters;
  readonly where: string;
  readonly inTenant: string;
}

function begin({ tenant, filter }: Scope): Beginning {
  const parameters = new SqlParameters();
  const inTenant = `m.tenant = ${parameters.add(tenant)}`;
  const filtered = filter === undefined ? "" : ` and ${filterSql(filter, parameters)}`;
  return { parameters, where: `${inTenant} and ${isLive}${filtered}`, inTenant };
}

function expression(requirement: Requirement): string {
  if ("holds" in requirement) return quoted(requirement.holds);
  const [parts, operator] =
    "all" in requirement ? [requirement.all, " & "] : [requirement.any, " | "];
  return parts.map((one) => `(${expression(one)})`).join(operator);
}

function quoted(lexeme: string): string {
  return `'${lexeme.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}

/** PostgreSQL takes neither NUL nor half a surrogate pair; in a query they match nothing anyway. */
function searchable(text: string): string {
  return text.toWellFormed().replaceAll("\0", " ");
}
