import { DomainError } from "../../shared/errors.ts";

/** The process stops; a watcher should connect again. */
export class HealthStoppingError extends DomainError {
  override readonly name = "HealthStoppingError";

  constructor() {
    super("unavailable", "DEPENDENCY_UNAVAILABLE", "the health process is stopping", {
      facts: { dependency: "health" },
      retryAfterMs: 1_000,
    });
  }
}
