import { encodeVector } from "../../../shared/postgres/vector-codec.ts";
import {
  defaultVectorWeight,
  hybridCandidates,
  type SearchBy,
  type SearchQuery,
} from "../search.ts";
import { documentBytes, documentColumns, isLive } from "./document-row.ts";
import { filterSql } from "./filter-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";
import { type TextLeg, textSql } from "./text-search-sql.ts";

/**
 * One statement for a whole search. First it finds ids and scores only, so that nothing wide is
 * sorted, then how large the hits are, and then it reads the documents of those that fit.
 *
 * Scores are of single precision, as they travel, so that what a caller sees as equal is ordered
 * by id.
 */
export function searchStatement(
  table: string,
  tenant: string,
  query: SearchQuery,
  textLeg: TextLeg | undefined,
): Statement {
  const parameters = new SqlParameters();
  const tenantParameter = parameters.add(tenant);
  const inTenant = `m.tenant = ${tenantParameter}`;
  const filter = query.filter === undefined ? "" : ` and ${filterSql(query.filter, parameters)}`;
  const scope = `${inTenant} and ${isLive}${filter}`;
  const limit = `${parameters.add(query.limit)}::int`;
  const place = { table, where: scope, inTenant };
  const parts = hitsSql(query, place, textLeg, limit, parameters);
  const minScore = `${parameters.add(query.minScore)}::real`;
  const maxBytes = `${parameters.add(query.maxBytes)}::int8`;
  const text = `
with ${parts},
sized as (
  select h.*, ${documentBytes(query.includeVectors)} as bytes
  from hits h join ${table} m on ${inTenant} and m.id = h.id
  where h.score >= ${minScore}
),
ranked as (
  select *, row_number() over by_rank as position, sum(bytes) over by_rank as bytes_so_far
  from sized window by_rank as (order by score desc, id rows unbounded preceding)
),
fitting as materialized (
  select * from ranked where position = 1 or bytes_so_far <= ${maxBytes}
)
select ${documentColumns(query.includeVectors)},
  h.score, h.vector_score, h.text_score, h.bytes
from fitting h join ${table} m on ${inTenant} and m.id = h.id
order by h.score desc, h.id`;
  return { text, parameters };
}

interface Place {
  readonly table: string;
  /** What makes a document `m` one of those that are searched. */
  readonly where: string;
  readonly inTenant: string;
}

/** CTEs that end in `hits (id, score, vector_score, text_score)`. */
function hitsSql(
  query: SearchQuery,
  place: Place,
  textLeg: TextLeg | undefined,
  limit: string,
  parameters: SqlParameters,
): string {
  const vector = (by: Extract<SearchBy, { vector: unknown }>) =>
    `${parameters.add(encodeVector(by.vector))}::vector`;
  switch (query.mode) {
    case "vector":
      return `
nearest as materialized (
  ${nearestSql(similarity(vector(query)), place, limit)}
),
hits as materialized (
  select id, score, score as vector_score, null::real as text_score from nearest
)`;
    case "text":
      return `${textSql(required(textLeg), query.text, place, parameters).ctes},
hits as materialized (
  select id, text_score as score, null::real as vector_score, text_score
  from scored order by text_score desc, id limit ${limit}
)`;
    case "hybrid": {
      const candidates = `${parameters.add(hybridCandidates(query.limit))}::int`;
      const ownSimilarity = similarity(vector(query));
      const weight = `${parameters.add(query.vectorWeight ?? defaultVectorWeight)}::float8`;
      const words = textSql(required(textLeg), query.text, place, parameters);
      return `${words.ctes},
nearest as materialized (
  ${nearestSql(ownSimilarity, place, candidates)}
),
candidate_ids as materialized (
  select id from nearest
  union
  (select id from scored order by text_score desc, id limit ${candidates})
),
parts as materialized (
  select m.id,
    case when m.embedding is not null then ${ownSimilarity} end as vector_score,
    ${words.score} as text_score
  from candidate_ids c
    join ${place.table} m on ${place.inTenant} and m.id = c.id
    ${words.join}
),
hits as materialized (
  select id, ${hybridScore(weight)} as score, vector_score, text_score
  from parts order by score desc, id limit ${limit}
)`;
    }
  }
}

/** The weighted mean of the parts that there are: what is not known does not count as zero. */
function hybridScore(weight: string): string {
  return `(case
    when vector_score is null then text_score
    when text_score is null then vector_score
    else ${weight} * vector_score + (1 - ${weight}) * text_score
  end)::real`;
}

/** Every vector of the scope is compared. */
function nearestSql(similarityTo: string, { table, where }: Place, limit: string): string {
  return `select m.id, ${similarityTo} as score
  from ${table} m
  where ${where} and m.embedding is not null
  order by score desc, m.id
  limit ${limit}`;
}

/** Cosine similarity, clipped to 0..1. */
function similarity(vector: string): string {
  return `greatest(least(1 - (m.embedding <=> ${vector}), 1), 0)::real`;
}

function required(textLeg: TextLeg | undefined): TextLeg {
  if (textLeg === undefined) throw new Error("a search by words without a plan");
  return textLeg;
}
