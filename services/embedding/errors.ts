import { DomainError } from "../../shared/errors.ts";

/** No provider serves a model of this name. */
export class ModelNotFoundError extends DomainError {
  override readonly name = "ModelNotFoundError";

  constructor(model: string, hint: string) {
    super("not_found", "MODEL_NOT_FOUND", `no provider serves the model ${model}: ${hint}`, {
      facts: { model },
    });
  }
}

/** The model refused one text; sending it again will not help. */
export class TextRefusedError extends DomainError {
  override readonly name = "TextRefusedError";

  constructor(model: string, message: string, cause?: unknown) {
    super("invalid_argument", "EMBEDDING_FAILED", message, { facts: { model }, cause });
  }
}

/** The model answered for one text with something that is not a vector of it. */
export class GarbledEmbeddingError extends DomainError {
  override readonly name = "GarbledEmbeddingError";

  constructor(model: string, message: string, cause?: unknown) {
    super("internal", "EMBEDDING_FAILED", message, { facts: { model }, cause });
  }
}

/** Too much waits already. */
export class OverloadedError extends DomainError {
  override readonly name = "OverloadedError";

  constructor(message: string) {
    super("resource_exhausted", "OVERLOADED", message, { retryAfterMs: 1_000 });
  }
}
