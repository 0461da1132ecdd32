import { encodeRealArray, encodeTextArray } from "../../../shared/postgres/array-codec.ts";
import type { Candidates } from "../candidates.ts";
import { comparedError } from "../known-vectors.ts";
import { defaultVectorWeight, hybridCandidates, type SearchQuery } from "../search.ts";
import { isLive } from "./document-row.ts";
import type { DocumentTable } from "./document-table.ts";
import { filterSql } from "./filter-sql.ts";
import { changedSql } from "./known-scope-sql.ts";
import { Comparison } from "./nearest-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";
import {
  bestCloseness,
  bestPassagesSql,
  hasPassagesColumn,
  nearestPassagesSql,
} from "./passage-search-sql.ts";
import { answerSql, hybridScore } from "./search-sql.ts";
import { scoringOf } from "./text-search-sql.ts";

/**
 * A whole search, as `searchStatement`, of what a scope's memory names and of what has changed
 * since: the filter is asked of what is stored now, and so are the words of what has changed. Where
 * anything has, all vectors are compared here, so that equal ones are equally near; the memory's own
 * closeness counts where nothing has. The best are among them as long as so many as are wanted are
 * better than any other document can be; `insufficient` where they are not, and then there are no
 * hits. `changed` tells how many have changed, `too_many` that they were not all looked at. These
 * stand in every row; where there is no hit, there is one row without.
 *
 * Passages are not remembered. `withPassages` compares all of the tenant's, and names as many
 * documents as are wanted for theirs, so that no other is among the best for a passage either;
 * without, `has_passages` stands in every row too, in a search that compares vectors.
 */
export function rememberedStatement(
  table: DocumentTable,
  tenant: string,
  query: SearchQuery,
  candidates: Candidates,
  withPassages = false,
): Statement {
  const parameters = new SqlParameters();
  const inTenant = `m.tenant = ${parameters.add(tenant)}`;
  const filter = query.filter === undefined ? "" : ` and ${filterSql(query.filter, parameters)}`;
  const scope = `${inTenant} and ${isLive}${filter}`;
  const limit = `${parameters.add(query.limit)}::int`;
  const snapshot = `${parameters.add(candidates.snapshot)}::pg_snapshot`;
  const legs = legsSql(table, query, candidates, withPassages, parameters);
  const compared = withPassages ? legs.comparison : undefined;
  const wanted =
    query.mode === "hybrid" ? `${parameters.add(hybridCandidates(query.limit))}::int` : limit;
  const passages = passagesSql(table, compared, { scope, inTenant, wanted });
  const answer = answerSql(table, query, compared, inTenant, parameters);
  const told =
    legs.comparison === undefined || withPassages ? "" : hasPassagesColumn(table, inTenant);
  const text = `
with ${changedSql(table, inTenant, snapshot)},${passages.ctes}
given as materialized (
  select given.id, given.closeness, given.text_score, false as words_anew
  from unnest(${parameters.add(encodeTextArray(candidates.ids))}::text[], ${legs.given})
    given(id, closeness, text_score)
  where not exists (select from changed where changed.id = given.id)
),
named as materialized (
  select id, closeness, text_score, words_anew from given
  union all
  select id, null, null, true from changed where not (select too_many from changes)${passages.named}
),
known as materialized (
  select m.id, m.closeness, m.text_score
  from named ${passages.join}cross join lateral (
    select m.id, ${legs.closeness} as closeness, ${legs.textScore} as text_score
    from ${table.name} m where ${scope} and m.id = named.id
    offset 0
  ) m
),
verdict as materialized (
  select changes.count as changed, changes.too_many,
    changes.too_many or not (true${legs.sufficient(wanted)}) as insufficient
  from changes
),
${hitsSql(query, legs, { limit, wanted }, parameters)},
${answer.ctes}
select ${answer.columns}, verdict.changed, verdict.too_many, verdict.insufficient${told}
from verdict left join answer m on true
order by m.rank desc, m.id`;
  return { text, parameters };
}

/** Expressions of the legs that there are; null for one that there is not. */
interface Legs {
  /** The candidates' closeness and scores by words. */
  readonly given: string;
  readonly comparison: Comparison | undefined;
  readonly closeness: string;
  readonly textScore: string;
  readonly score: (closeness: string) => string;
  readonly sufficient: (wanted: string) => string;
}

function legsSql(
  table: DocumentTable,
  query: SearchQuery,
  { vector, text, closeness: given, textScores }: Candidates,
  withPassages: boolean,
  parameters: SqlParameters,
): Legs {
  const reals = (items: readonly (number | null)[]) =>
    `${parameters.add(encodeRealArray(items))}::real[]`;
  // Numbers as text keep every bit.
  const bound = (beyond: number) => `${parameters.add(String(beyond))}::float8`;
  const conditions: ((wanted: string) => string)[] = [];
  const better = (column: string, least: string) =>
    conditions.push(
      (wanted) => `
      and (select count(*) from known where ${column} > ${least}) >= ${wanted}`,
    );
  let comparison: Comparison | undefined;
  let closeness = "null::real";
  let near = "null::real[]";
  let score = (_: string) => "null::real";
  if (vector !== undefined && query.mode !== "text") {
    const compared = new Comparison(table, query.vector, parameters);
    comparison = compared;
    const nearest = withPassages ? bestCloseness(compared) : compared.closeness();
    const beyondCompared = bound(vector.beyond + comparedError(table.dimension));
    score = (of) => compared.score(of);
    if (withPassages) {
      closeness = `case when m.embedding is not null then ${nearest} end`;
      better("closeness", beyondCompared);
    } else {
      near = reals(given.map((one) => one ?? null));
      closeness = `case when m.embedding is null then null
      when (select count from changes) = 0 then named.closeness else ${nearest} end`;
      const beyond = bound(vector.beyond);
      better("closeness", `case when changes.count = 0 then ${beyond} else ${beyondCompared} end`);
    }
  }
  let scores = "null::real[]";
  let textScore = "null::real";
  if (text !== undefined) {
    scores = reals(textScores);
    const scoring = scoringOf(text.facts, parameters);
    textScore = `case when named.words_anew
      then coalesce(${scoring.score("m.lexeme_count", scoring.found)}, 0)
      else named.text_score end::real`;
    if (!text.complete) better("text_score", bound(text.beyond));
  }
  const sufficient = (wanted: string) => conditions.map((one) => one(wanted)).join("");
  return { given: `${near}, ${scores}`, comparison, closeness, textScore, score, sufficient };
}

/** Where vectors are compared: those of passages, and the documents that are named for theirs. */
function passagesSql(
  table: DocumentTable,
  comparison: Comparison | undefined,
  {
    scope,
    inTenant,
    wanted,
  }: { readonly scope: string; readonly inTenant: string; readonly wanted: string },
): { readonly ctes: string; readonly named: string; readonly join: string } {
  if (comparison === undefined) return { ctes: "", named: "", join: "" };
  return {
    ctes: `
${bestPassagesSql(table, comparison, inTenant)},
near_by_passage as materialized (${nearestPassagesSql(table, scope, wanted)}
),`,
    // Their words are what is stored now, as of what has changed.
    named: `
  union all
  select p.id, null, null, true from near_by_passage p
  where not exists (select from changed where changed.id = p.id)
    and not exists (select from given where given.id = p.id)`,
    join: "left join best_passages b on b.id = named.id ",
  };
}

/** CTEs that end in `hits`. */
function hitsSql(
  query: SearchQuery,
  legs: Legs,
  { limit, wanted }: { readonly limit: string; readonly wanted: string },
  parameters: SqlParameters,
): string {
  const enough = "not (select insufficient from verdict)";
  switch (query.mode) {
    case "vector":
      return `hits as materialized (
  select id, closeness as rank, score, score as vector_score, null::real as text_score
  from (select id, closeness, ${legs.score("closeness")} as score from known) scored
  where closeness is not null and ${enough}
  order by closeness desc, id limit ${limit}
)`;
    case "text":
      return `hits as materialized (
  select id, text_score as rank, text_score as score, null::real as vector_score, text_score
  from known where text_score > 0 and ${enough}
  order by text_score desc, id limit ${limit}
)`;
    case "hybrid": {
      const weight = `${parameters.add(query.vectorWeight ?? defaultVectorWeight)}::float8`;
      return `candidate_ids as materialized (
  (
    select id from known where closeness is not null and ${enough}
    order by closeness desc, id limit ${wanted}
  )
  union
  (
    select id from known where text_score > 0 and ${enough}
    order by text_score desc, id limit ${wanted}
  )
),
parts as materialized (
  select id, case when closeness is not null then ${legs.score("closeness")} end as vector_score,
    text_score
  from candidate_ids join known using (id)
),
hits as materialized (
  select id, score as rank, score, vector_score, text_score
  from (select *, ${hybridScore(weight)} as score from parts) mixed
  order by score desc, id limit ${limit}
)`;
    }
  }
}
