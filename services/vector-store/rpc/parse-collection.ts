import { Violations } from "../../../shared/errors.ts";
import {
  Distance,
  IndexKind,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/collection_pb.js";
import type {
  BuildIndexRequest,
  CreateCollectionRequest,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import {
  type DistanceName,
  defaultCollection,
  type IndexOrder,
  type NewCollection,
} from "../collection.ts";
import { boundedTextProblem } from "../text-checks.ts";
import { maxDimension } from "../vector-checks.ts";
import { maxModelBytes, requireCollectionName } from "./names.ts";

/** Bounds of the parameters of indexes, which are pgvector's. */
const indexBounds = {
  m: { min: 2, max: 100, default: 16 },
  efConstruction: { min: 4, max: 1_000 },
  lists: { min: 1, max: 32_768 },
} as const;

/** PostgreSQL's bound of a name. */
const maxLanguageBytes = 63;
const defaultLanguage = "english";

/** Throws InvalidRequestError with every violation. */
export function parseNewCollection({ collection }: CreateCollectionRequest): NewCollection {
  const violations = new Violations();
  const name = collection?.name ?? "";
  const dimension = collection?.dimension ?? 0;
  const model = collection?.embeddingModel ?? "";
  if (violations.require(name !== "", "collection.name", "is required")) {
    requireCollectionName(name, "collection.name", violations);
  }
  violations.require(
    dimension >= 1 && dimension <= maxDimension,
    "collection.dimension",
    `must be 1 to ${maxDimension.toLocaleString("en")}`,
  );
  const distance = distanceOf(collection?.distance ?? Distance.UNSPECIFIED);
  if (distance === undefined) {
    violations.add("collection.distance", "must be COSINE, EUCLIDEAN or DOT_PRODUCT");
  }
  const problem = boundedTextProblem(model, 0, maxModelBytes);
  if (problem !== undefined) violations.add("collection.embedding_model", problem);
  violations.require(
    collection?.index === undefined,
    "collection.index",
    "must be absent: BuildIndex makes one",
  );
  const language = collection?.textLanguage ?? "";
  const languageProblem = boundedTextProblem(language, 0, maxLanguageBytes);
  if (languageProblem !== undefined) violations.add("collection.text_language", languageProblem);
  violations.throwIfAny();
  return {
    name,
    dimension,
    distance: distance ?? "cosine",
    embeddingModel: model === "" ? undefined : model,
    textLanguage: language === "" ? defaultLanguage : language,
  };
}

/** Throws InvalidRequestError with every violation. */
export function parseIndexOrder(request: BuildIndexRequest): {
  readonly collection: string;
  readonly order: IndexOrder;
} {
  const violations = new Violations();
  const collection = requireCollectionName(request.collection, "collection", violations);
  const {
    kind = IndexKind.UNSPECIFIED,
    m = 0,
    efConstruction = 0,
    lists = 0,
  } = request.index ?? {};
  const within = (value: number, field: string, { min, max }: { min: number; max: number }) =>
    violations.require(
      value === 0 || (value >= min && value <= max),
      `index.${field}`,
      `must be ${min} to ${max.toLocaleString("en")}, or 0 for the default`,
    );
  const notOf = (value: number, field: string, other: string) =>
    violations.require(value === 0, `index.${field}`, `is a parameter of ${other}`);
  switch (kind) {
    case IndexKind.UNSPECIFIED:
    case IndexKind.HNSW: {
      const bounded =
        within(m, "m", indexBounds.m) &&
        within(efConstruction, "ef_construction", indexBounds.efConstruction);
      if (bounded && efConstruction !== 0) {
        violations.require(
          efConstruction >= 2 * (m === 0 ? indexBounds.m.default : m),
          "index.ef_construction",
          "must be at least 2 * m",
        );
      }
      notOf(lists, "lists", "IVFFLAT");
      violations.throwIfAny();
      const order = {
        kind: "hnsw",
        m: given(m),
        efConstruction: given(efConstruction),
      } as const;
      return { collection, order };
    }
    case IndexKind.IVFFLAT:
      within(lists, "lists", indexBounds.lists);
      notOf(m, "m", "HNSW");
      notOf(efConstruction, "ef_construction", "HNSW");
      violations.throwIfAny();
      return { collection, order: { kind: "ivfflat", lists: given(lists) } };
    default:
      violations.add("index.kind", "must be HNSW or IVFFLAT");
      violations.throwIfAny();
      return { collection: defaultCollection, order: { kind: "ivfflat", lists: undefined } };
  }
}

function given(value: number): number | undefined {
  return value === 0 ? undefined : value;
}

function distanceOf(distance: Distance): DistanceName | undefined {
  switch (distance) {
    case Distance.UNSPECIFIED:
    case Distance.COSINE:
      return "cosine";
    case Distance.EUCLIDEAN:
      return "euclidean";
    case Distance.DOT_PRODUCT:
      return "dot_product";
    default:
      return undefined;
  }
}
