import { sleep } from "../../shared/lifecycle.ts";
import { builtinModel } from "./builtin-embedder.ts";
import type { Embedder, EmbeddingModel } from "./embedder.ts";
import { ModelNotFoundError } from "./errors.ts";
import { canonicalModelName } from "./model-table.ts";
import { probeText } from "./order-check.ts";
import { RemoteModels, type RemoteProvider } from "./remote-models.ts";

export type ProviderChoice = "auto" | "ollama" | "openai" | "builtin";

/** A model as ListModels tells of it. */
export interface ModelStatus extends EmbeddingModel {
  readonly isDefault: boolean;
  /** True when its provider answers now. */
  readonly ready: boolean;
  /** For people. */
  readonly description: string;
}

export interface ModelCatalogOptions<E extends Embedder> {
  /** With `auto` the default model rises; else it is the chosen provider's. */
  readonly choice: ProviderChoice;
  /** In order of preference. One that is not chosen is not asked at all and stands not here. */
  readonly providers: readonly RemoteProvider<E>[];
  readonly builtin: E;
  /** Pause between two looks at the providers. */
  readonly watchIntervalMs: number;
  /** The same while the default model is not ready, if that is shorter. Default 2,000. */
  readonly missingIntervalMs?: number;
  /** Told after each change of the default model or of its readiness. */
  readonly onChange: (defaultModel: ModelStatus) => void;
}

/** An unknown name makes us look again, but not more often than this. */
const freshMs = 2_000;

/**
 * Knows the models and which one is the default.
 *
 * With `auto` the default is the preferred model of the first provider that has shown that it
 * embeds, and the built-in model before that. It rises and never falls: when a provider goes away
 * later, the default is not ready until it is back, because vectors of two models must not meet in
 * one collection by accident. Whoever owns a collection names its model and is not affected.
 *
 * A name belongs to one provider: to the one that prefers it, else to the first that has it.
 */
export class ModelCatalog<E extends Embedder = Embedder> implements AsyncDisposable {
  readonly #options: ModelCatalogOptions<E>;
  readonly #remotes: readonly RemoteModels<E>[];
  readonly #closing = new AbortController();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #decided = false;
  #default: string;
  #told = "";
  #watching: Promise<void> | undefined;
  /** Ends the pause of the watch. */
  #doubted = new AbortController();

  constructor(options: ModelCatalogOptions<E>) {
    this.#options = options;
    this.#remotes = options.providers.map((provider) => new RemoteModels(provider));
    const chosen = options.choice === "auto" ? undefined : options.providers[0];
    this.#default = chosen?.preferred ?? builtinModel.name;
  }

  /** Looks for the first time, decides the default model, and goes on watching. */
  async start(): Promise<void> {
    await this.#options.builtin.embed([probeText], "query", this.#closing.signal);
    await this.#lookAndDecide();
    this.#watching ??= this.#watch();
  }

  /** The default first, then by name. */
  list(): ModelStatus[] {
    const names = new Set([this.#default, builtinModel.name]);
    for (const remote of this.#remotes) {
      names.add(remote.provider.preferred);
      for (const name of remote.names) names.add(name);
    }
    return [...names]
      .map((name) => this.#status(name))
      .sort((a, b) => Number(b.isDefault) - Number(a.isDefault) || (a.name < b.name ? -1 : 1));
  }

  get defaultModel(): ModelStatus {
    return this.#status(this.#default);
  }

  /** The embedder of a model; of the default one for an empty name. */
  async embedderOf(name: string): Promise<E> {
    if (name === "" && !this.#decided) await this.#lookAndDecide();
    const wanted = name === "" ? this.#default : canonicalModelName(name);
    if (wanted === builtinModel.name) return this.#options.builtin;
    if (this.#remotes.length === 0) {
      throw new ModelNotFoundError(wanted, "this service uses the built-in model only");
    }
    const stale = performance.now() - this.#lookedAt > freshMs;
    if (!this.#remotes.some((remote) => remote.has(wanted)) && stale) await this.#lookAndDecide();
    const [owner] = this.#ownersOf(wanted);
    if (owner !== undefined) {
      const embedder = owner.embedderOf(wanted);
      if (embedder !== undefined) return embedder;
    }
    for (const remote of this.#remotes) {
      const embedder = remote.embedderOf(wanted);
      if (embedder !== undefined) return embedder;
    }
    const remote = this.#remotes.at(-1);
    const help = remote?.provider.endpoint.helpForLostModel(wanted) ?? "";
    throw new ModelNotFoundError(wanted, `it is neither built in nor known elsewhere; ${help}`);
  }

  /** For when a provider has news: it must prove itself again, which is tried soon. */
  doubt(provider: EmbeddingModel["provider"]): void {
    for (const remote of this.#remotes) {
      if (remote.provider.endpoint.provider === provider) remote.doubt();
    }
    this.#doubted.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the model catalog is closing"));
    await Promise.allSettled([this.#watching, this.#looking]);
  }

  #ownersOf(name: string): RemoteModels<E>[] {
    const preferring = this.#remotes.filter((remote) => remote.provider.preferred === name);
    return preferring.length > 0 ? preferring : this.#remotes.filter((remote) => remote.has(name));
  }

  async #watch(): Promise<void> {
    if (this.#remotes.length === 0) return;
    const { signal } = this.#closing;
    try {
      for (;;) {
        await this.#rest();
        await this.#lookAndDecide();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Until it is time for another look. */
  async #rest(): Promise<void> {
    const { signal } = this.#closing;
    const { watchIntervalMs, missingIntervalMs = 2_000 } = this.#options;
    const pause = this.defaultModel.ready
      ? watchIntervalMs
      : Math.min(watchIntervalMs, missingIntervalMs);
    this.#doubted = new AbortController();
    const doubted = this.#doubted.signal;
    try {
      await sleep(pause * (0.9 + Math.random() * 0.2), AbortSignal.any([signal, doubted]));
    } catch {
      signal.throwIfAborted();
      await sleep(Math.max(0, this.#lookedAt + freshMs - performance.now()), signal);
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
    await Promise.all(this.#remotes.map((remote) => remote.look(this.#closing.signal)));
    this.#lookedAt = performance.now();
    if (this.#options.choice === "auto") this.#rise();
    this.#decided = true;
    this.#tell();
  }

  /** The default moves to a provider that is preferred to its own, never the other way. */
  #rise(): void {
    for (const remote of this.#remotes) {
      const { preferred } = remote.provider;
      if (preferred === this.#default) return;
      if (remote.proven) {
        this.#default = preferred;
        return;
      }
    }
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
    const [owner] = this.#ownersOf(name);
    if (name !== builtinModel.name && owner !== undefined) {
      return { ...owner.status(name), isDefault };
    }
    const description = "Compares words and spellings, not meaning; built in, always ready";
    return { ...builtinModel, isDefault, ready: true, description };
  }
}
