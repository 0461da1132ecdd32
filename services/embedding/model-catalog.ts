import { DependencyUnavailableError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { builtinModel } from "./builtin-embedder.ts";
import { type Embedder, type EmbeddingModel, isEmbedded } from "./embedder.ts";
import { ModelNotFoundError } from "./errors.ts";
import type { OllamaModelFacts } from "./ollama-client.ts";
import { canonicalModelName, isKnownModel } from "./ollama-models.ts";
import type { OllamaObservation } from "./ollama-observer.ts";

export type ProviderChoice = "auto" | "ollama" | "builtin";

/** A model as ListModels tells of it. */
export interface ModelStatus extends EmbeddingModel {
  readonly isDefault: boolean;
  /** True when its provider answers now. */
  readonly ready: boolean;
  /** For people. */
  readonly description: string;
}

export interface ModelCatalogOptions {
  /** Decides the default model; `builtin` also means that Ollama is not asked at all. */
  readonly provider: ProviderChoice;
  /** The Ollama model that is preferred. */
  readonly ollamaModel: string;
  readonly builtin: Embedder;
  readonly observe: (signal: AbortSignal) => Promise<OllamaObservation>;
  readonly createOllamaEmbedder: (name: string, facts: OllamaModelFacts) => Embedder;
  /** Pause between two looks at Ollama. */
  readonly watchIntervalMs: number;
  /** Told after each change of the default model or of its readiness. */
  readonly onChange: (defaultModel: ModelStatus) => void;
}

interface OllamaModel {
  readonly embedder: Embedder;
  readonly facts: OllamaModelFacts;
}

const probe = "The quick brown fox jumps over the lazy dog.";
/** An unknown name makes us look again, but not more often than this. */
const freshMs = 2_000;

/**
 * Knows the models and which one is the default.
 *
 * With `auto` the default is the preferred Ollama model once Ollama has shown that it embeds, and
 * the built-in model before that. It rises and never falls: when Ollama goes away later, the
 * default is not ready until it is back, because vectors of two models must not meet in one
 * collection by accident. Whoever owns a collection names its model and is not affected.
 */
export class ModelCatalog implements AsyncDisposable {
  readonly #options: ModelCatalogOptions;
  readonly #preferred: string;
  readonly #ollamaModels = new Map<string, OllamaModel>();
  readonly #closing = new AbortController();
  #observation: OllamaObservation = { reachable: false, models: new Map() };
  #observedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #proven = false;
  #decided = false;
  #default: string;
  #told = "";
  #watching: Promise<void> | undefined;

  constructor(options: ModelCatalogOptions) {
    this.#options = options;
    this.#preferred = canonicalModelName(options.ollamaModel);
    this.#default = options.provider === "ollama" ? this.#preferred : builtinModel.name;
  }

  /** Looks for the first time, decides the default model, and goes on watching. */
  async start(): Promise<void> {
    await this.#options.builtin.embed([probe], "query", this.#closing.signal);
    await this.#lookAndDecide();
    this.#watching ??= this.#watch();
  }

  /** The default first, then by name. */
  list(): ModelStatus[] {
    const names = new Set([this.#default, builtinModel.name]);
    if (this.#asksOllama) names.add(this.#preferred);
    for (const name of this.#observation.models.keys()) names.add(name);
    return [...names]
      .map((name) => this.#status(name))
      .sort((a, b) => Number(b.isDefault) - Number(a.isDefault) || (a.name < b.name ? -1 : 1));
  }

  get defaultModel(): ModelStatus {
    return this.#status(this.#default);
  }

  /** The embedder of a model; of the default one for an empty name. */
  async embedderOf(name: string): Promise<Embedder> {
    if (name === "" && !this.#decided) await this.#lookAndDecide();
    const wanted = name === "" ? this.#default : canonicalModelName(name);
    if (wanted === builtinModel.name) return this.#options.builtin;
    if (!this.#asksOllama) {
      throw new ModelNotFoundError(wanted, "this service uses the built-in model only");
    }
    const stale = performance.now() - this.#observedAt > freshMs;
    if (!this.#observation.models.has(wanted) && stale) await this.#lookAndDecide();
    const model = this.#ollamaModels.get(wanted);
    if (this.#observation.models.has(wanted) && model !== undefined) return model.embedder;
    if (this.#observation.reachable) {
      throw new ModelNotFoundError(wanted, `Ollama has no such model; run: ollama pull ${wanted}`);
    }
    if (wanted === this.#preferred || model !== undefined || isKnownModel(wanted)) {
      throw new DependencyUnavailableError(
        "ollama",
        `Ollama, which has ${wanted}, does not answer`,
      );
    }
    throw new ModelNotFoundError(wanted, "it is neither built in nor a model known from Ollama");
  }

  /** For when Ollama has failed: it must prove itself again, which is tried at once. */
  doubtOllama(): void {
    this.#proven = false;
    if (performance.now() - this.#observedAt < freshMs) return;
    this.#lookAndDecide().catch(() => {
      // The catalog is closing.
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the model catalog is closing"));
    await Promise.allSettled([this.#watching, this.#looking]);
  }

  get #asksOllama(): boolean {
    return this.#options.provider !== "builtin";
  }

  async #watch(): Promise<void> {
    if (!this.#asksOllama) return;
    const { signal } = this.#closing;
    try {
      for (;;) {
        await sleep(this.#options.watchIntervalMs * (0.9 + Math.random() * 0.2), signal);
        await this.#lookAndDecide();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** One look at a time; whoever asks meanwhile waits for the same one. */
  #lookAndDecide(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (this.#asksOllama) {
      this.#observation = await this.#options.observe(this.#closing.signal);
      this.#observedAt = performance.now();
      for (const [name, facts] of this.#observation.models) this.#keepEmbedder(name, facts);
      await this.#prove();
    }
    this.#decided = true;
    this.#tell();
  }

  #keepEmbedder(name: string, facts: OllamaModelFacts): void {
    if (this.#ollamaModels.get(name)?.facts === facts) return;
    const embedder = this.#options.createOllamaEmbedder(name, facts);
    this.#ollamaModels.set(name, { embedder, facts });
    if (name === this.#preferred) this.#proven = false;
  }

  /** A model that is listed may still not load: only a vector proves it. */
  async #prove(): Promise<void> {
    const model = this.#ollamaModels.get(this.#preferred);
    if (!this.#observation.models.has(this.#preferred) || model === undefined) {
      this.#proven = false;
      return;
    }
    if (this.#proven) return;
    try {
      const [outcome] = await model.embedder.embed([probe], "query", this.#closing.signal);
      this.#proven = outcome !== undefined && isEmbedded(outcome);
    } catch {
      this.#closing.signal.throwIfAborted();
    }
    if (this.#proven && this.#options.provider === "auto") this.#default = this.#preferred;
  }

  #tell(): void {
    const status = this.defaultModel;
    const now = `${status.name} ${status.ready}`;
    if (now === this.#told) return;
    this.#told = now;
    this.#options.onChange(status);
  }

  #status(name: string): ModelStatus {
    const isDefault = name === this.#default;
    if (name === builtinModel.name) {
      const description = "Compares words and spellings, not meaning; built in, always ready";
      return { ...builtinModel, isDefault, ready: true, description };
    }
    const model = this.#ollamaModels.get(name)?.embedder.model ?? {
      name,
      provider: "ollama" as const,
      dimension: 0,
      lexical: false,
    };
    const { reachable, models } = this.#observation;
    const installed = models.has(name);
    const ready = installed && (name !== this.#preferred || this.#proven);
    return { ...model, isDefault, ready, description: describe(name, reachable, installed, ready) };
  }
}

function describe(name: string, reachable: boolean, installed: boolean, ready: boolean): string {
  if (ready) return "Compares meaning; served by Ollama";
  if (!reachable) return "Compares meaning; not ready: Ollama does not answer";
  if (!installed) return `Compares meaning; not ready: run \`ollama pull ${name}\``;
  return "Compares meaning; not ready: Ollama has it but does not embed with it";
}
