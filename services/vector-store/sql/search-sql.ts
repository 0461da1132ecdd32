import {
  bm25,
  hybridCandidates,
  hybridVectorWeight,
  type SearchBy,
  type SearchQuery,
} from "../search.ts";
import type { NearestPlan } from "../search-plan.ts";
import { documentBytes, documentColumns, isLive } from "./document-row.ts";
import type { DocumentTable } from "./document-table.ts";
import { filterSql } from "./filter-sql.ts";
import { Comparison, nearestSql } from "./nearest-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";

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
 */
export function searchStatement(
  table: DocumentTable,
  tenant: string,
  query: SearchQuery,
  plan: NearestPlan,
): Statement {
  const parameters = new SqlParameters();
  const tenantParameter = parameters.add(tenant);
  const inTenant = `m.tenant = ${tenantParameter}`;
  const filter = query.filter === undefined ? "" : ` and ${filterSql(query.filter, parameters)}`;
  const scope = `${inTenant} and ${isLive}${filter}`;
  const limit = `${parameters.add(query.limit)}::int`;
  const parts = hitsSql(table, query, plan, { scope, inTenant, limit }, parameters);
  const minScore = `${parameters.add(query.minScore)}::real`;
  const maxBytes = `${parameters.add(query.maxBytes)}::int8`;
  const text = `
with ${parts},
sized as (
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
)
select ${documentColumns(table, query.includeVectors)},
  m.score, m.vector_score, m.text_score, m.bytes
from ranked m
where position = 1 or bytes_so_far <= ${maxBytes}
order by m.rank desc, m.id`;
  return { text, parameters };
}

/** Which documents are searched, as conditions on the alias `m`, and how many hits are wanted. */
interface Bounds {
  readonly scope: string;
  readonly inTenant: string;
  readonly limit: string;
}

/** CTEs that end in `hits (id, rank, score, vector_score, text_score)`. */
function hitsSql(
  table: DocumentTable,
  query: SearchQuery,
  plan: NearestPlan,
  { scope, inTenant, limit }: Bounds,
  parameters: SqlParameters,
): string {
  const compare = (by: Extract<SearchBy, { vector: unknown }>) =>
    new Comparison(table, by.vector, parameters);
  switch (query.mode) {
    case "vector": {
      const comparison = compare(query);
      return `${nearestSql(table, comparison, plan, scope, { count: query.limit, sql: limit })},
hits as materialized (
  select id, closeness as rank, score, score as vector_score, null::real as text_score
  from (select id, closeness, ${comparison.score("closeness")} as score from nearest) scored
)`;
    }
    case "text":
      return `${scoredSql(table, scope, parameters.add(searchable(query.text)))},
hits as materialized (
  select id, text_score as rank, text_score as score, null::real as vector_score, text_score
  from scored order by text_score desc, id limit ${limit}
)`;
    case "hybrid": {
      const count = hybridCandidates(query.limit);
      const candidates = `${parameters.add(count)}::int`;
      const comparison = compare(query);
      return `${scoredSql(table, scope, parameters.add(searchable(query.text)))},
${nearestSql(table, comparison, plan, scope, { count, sql: candidates })},
candidate_ids as materialized (
  select id from nearest
  union
  (select id from scored order by text_score desc, id limit ${candidates})
),
parts as materialized (
  select m.id,
    case when m.embedding is not null then ${comparison.score(comparison.closeness())} end
      as vector_score,
    case when q.lexemes is not null then coalesce(s.text_score, 0)::real end as text_score
  from candidate_ids c
    join ${table.name} m on ${inTenant} and m.id = c.id
    left join scored s on s.id = c.id
    cross join query q
),
hits as materialized (
  select id, score as rank, score, vector_score, text_score
  from (select *, ${hybridScore} as score from parts) mixed
  order by score desc, id limit ${limit}
)`;
    }
  }
}

/** The weighted mean of the parts that there are: what is not known does not count as zero. */
const hybridScore = `(case
    when vector_score is null then text_score
    when text_score is null then vector_score
    else ${hybridVectorWeight} * vector_score + ${1 - hybridVectorWeight} * text_score
  end)::real`;

/**
 * CTEs that end in `scored (id, text_score)`: every document of the scope that holds a word of the
 * query, with its BM25 score as a share of the best that any document could reach, which is
 * sum(idf) * (k1 + 1). A word that no document holds counts in that sum too.
 *
 * The query becomes lexemes first, and the lexemes, quoted, a tsquery: no text is syntax. Since
 * every document with a query word is a candidate, document frequencies come from the candidates.
 * setweight and ts_filter leave of each document only what the query asks for, before anything is
 * unnested. A query without a searchable word has null lexemes and matches nothing.
 */
function scoredSql({ name }: DocumentTable, scope: string, text: string): string {
  const { k1, b } = bm25;
  return `
query as materialized (
  select array_agg(lexeme) as lexemes,
    string_agg(
      '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | '
    )::tsquery as expression
  from unnest(to_tsvector('english', ${text}::text))
),
scope as materialized (
  select count(*)::float8 as documents, avg(m.lexeme_count)::float8 as mean_length
  from ${name} m where ${scope} and (select lexemes from query) is not null
),
candidate as materialized (
  select m.id, m.lexeme_count, m.lexemes
  from ${name} m
  where ${scope} and m.lexemes @@ (select expression from query)
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

/** PostgreSQL takes neither NUL nor half a surrogate pair; in a query they match nothing anyway. */
function searchable(text: string): string {
  return text.toWellFormed().replaceAll("\0", " ");
}
