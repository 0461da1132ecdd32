import { defaultVectorWeight, hybridCandidates, type SearchQuery } from "../search.ts";
import type { NearestPlan } from "../search-plan.ts";
import { documentBytes, documentColumns, isLive } from "./document-row.ts";
import type { DocumentTable } from "./document-table.ts";
import { filterSql } from "./filter-sql.ts";
import { Comparison, nearestSql } from "./nearest-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";
import {
  bestCloseness,
  bestPassagesSql,
  hasPassagesColumn,
  matchedJoin,
  matchedSql,
  withPassagesSql,
} from "./passage-search-sql.ts";
import { type TextLeg, textSql } from "./text-search-sql.ts";

/**
 * One statement for a whole search. First it finds ids and scores only, so that nothing wide is
 * sorted, then it reads the documents of those hits that fit into the answer: how large a content
 * is stands in its row, and one that does not fit is not read.
 *
 * Documents are looked up one by one, fenced by `offset 0`: whatever the planner makes of the number
 * of hits, it never reads the whole table for them.
 *
 * Hits are ordered by `rank`, which is as fine as the score and goes on where that is cut off.
 * Both are of single precision, as scores travel, so that what a caller sees as equal is ordered
 * by id.
 *
 * `withPassages` compares the vectors of passages too; without, a column `has_passages` tells whether
 * the tenant has any, in a search that compares vectors.
 */
export function searchStatement(
  table: DocumentTable,
  tenant: string,
  query: SearchQuery,
  nearest: NearestPlan,
  words: TextLeg | undefined,
  withPassages = false,
): Statement {
  const parameters = new SqlParameters();
  const tenantParameter = parameters.add(tenant);
  const inTenant = `m.tenant = ${tenantParameter}`;
  const filter = query.filter === undefined ? "" : ` and ${filterSql(query.filter, parameters)}`;
  const scope = `${inTenant} and ${isLive}${filter}`;
  const limit = `${parameters.add(query.limit)}::int`;
  const comparison =
    query.mode === "text" ? undefined : new Comparison(table, query.vector, parameters);
  const legs = { nearest, words, comparison, withPassages };
  const parts = hitsSql(table, query, legs, { scope, inTenant, limit }, parameters);
  const compared = withPassages ? comparison : undefined;
  const answer = answerSql(table, query, compared, inTenant, parameters);
  const told = comparison === undefined || withPassages ? "" : hasPassagesColumn(table, inTenant);
  const text = `
with ${parts},
${answer.ctes}
select ${answer.columns}${told}
from answer m
order by m.rank desc, m.id`;
  return { text, parameters };
}

/**
 * The documents of `hits`, in a CTE `answer`, and the columns of a hit's row of the alias `m`. With a
 * `comparison` there is a CTE `best_passages`, and the columns tell which passage is the best.
 */
export function answerSql(
  table: DocumentTable,
  query: SearchQuery,
  comparison: Comparison | undefined,
  inTenant: string,
  parameters: SqlParameters,
): { readonly ctes: string; readonly columns: string } {
  const minScore = `${parameters.add(query.minScore)}::real`;
  const maxBytes = `${parameters.add(query.maxBytes)}::int8`;
  const matched = comparison && `${matchedSql(table, comparison, inTenant)},\n`;
  const ctes = `${matched ?? ""}sized as (
  select m.*, h.rank, h.score, h.vector_score, h.text_score,
    ${documentBytes(table, query.includeVectors)} as bytes
  from hits h cross join lateral (
    select * from ${table.name} m where ${inTenant} and m.id = h.id offset 0
  ) m
  where h.score >= ${minScore}
),
ranked as (
  select *, row_number() over by_rank as position, sum(bytes) over by_rank as bytes_so_far
  from sized window by_rank as (order by rank desc, id rows unbounded preceding)
),
answer as (
  select m.*${comparison ? ", matched.range_start, matched.range_end" : ""}
  from ranked m ${comparison ? matchedJoin(comparison) : ""}
  where position = 1 or bytes_so_far <= ${maxBytes}
)`;
  const columns = `${documentColumns(table, query.includeVectors)},
  m.score, m.vector_score, m.text_score, m.bytes${comparison ? ", m.range_start, m.range_end" : ""}`;
  return { ctes, columns };
}

/** Which documents are searched, as conditions on the alias `m`, and how many hits are wanted. */
interface Bounds {
  readonly scope: string;
  readonly inTenant: string;
  readonly limit: string;
}

/** How each leg is done; `words` of a search by vector alone is undefined. */
interface Legs {
  readonly nearest: NearestPlan;
  readonly words: TextLeg | undefined;
  /** Undefined: not searched by vector. */
  readonly comparison: Comparison | undefined;
  readonly withPassages: boolean;
}

/** CTEs that end in `hits (id, rank, score, vector_score, text_score)`. */
function hitsSql(
  table: DocumentTable,
  query: SearchQuery,
  legs: Legs,
  { scope, inTenant, limit }: Bounds,
  parameters: SqlParameters,
): string {
  const { withPassages } = legs;
  const nearestOf = (comparison: Comparison, wanted: { count: number; sql: string }) => {
    const into = withPassages ? "nearest_documents" : "nearest";
    const ofDocuments = nearestSql(table, comparison, legs.nearest, scope, wanted, into);
    if (!withPassages) return ofDocuments;
    return `${ofDocuments},
${bestPassagesSql(table, comparison, inTenant)},
${withPassagesSql(table, scope, wanted.sql)}`;
  };
  const place = { table: table.name, where: scope };
  switch (query.mode) {
    case "vector": {
      const comparison = required(legs.comparison);
      return `${nearestOf(comparison, { count: query.limit, sql: limit })},
hits as materialized (
  select id, closeness as rank, score, score as vector_score, null::real as text_score
  from (select id, closeness, ${comparison.score("closeness")} as score from nearest) scored
)`;
    }
    case "text":
      return `${textSql(required(legs.words), query.text, place, parameters).ctes},
hits as materialized (
  select id, text_score as rank, text_score as score, null::real as vector_score, text_score
  from scored order by text_score desc, id limit ${limit}
)`;
    case "hybrid": {
      const count = hybridCandidates(query.limit);
      const candidates = `${parameters.add(count)}::int`;
      const comparison = required(legs.comparison);
      const closeness = withPassages ? bestCloseness(comparison) : comparison.closeness();
      const weight = `${parameters.add(query.vectorWeight ?? defaultVectorWeight)}::float8`;
      const words = textSql(required(legs.words), query.text, place, parameters);
      return `${words.ctes},
${nearestOf(comparison, { count, sql: candidates })},
candidate_ids as materialized (
  select id from nearest
  union
  (select id from scored order by text_score desc, id limit ${candidates})
),
parts as materialized (
  select m.id,
    case when m.embedding is not null then ${comparison.score(closeness)} end
      as vector_score,
    ${words.score} as text_score
  from candidate_ids c
    join ${table.name} m on ${inTenant} and m.id = c.id
    ${withPassages ? "left join best_passages b on b.id = m.id" : ""}
    ${words.join}
),
hits as materialized (
  select id, score as rank, score, vector_score, text_score
  from (select *, ${hybridScore(weight)} as score from parts) mixed
  order by score desc, id limit ${limit}
)`;
    }
  }
}

/** The weighted mean of the parts that there are: what is not known does not count as zero. */
export function hybridScore(weight: string): string {
  return `(case
    when vector_score is null then text_score
    when text_score is null then vector_score
    else ${weight} * vector_score + (1 - ${weight}) * text_score
  end)::real`;
}

function required<Part>(part: Part | undefined): Part {
  if (part === undefined) throw new Error("a search without what its mode needs");
  return part;
}
