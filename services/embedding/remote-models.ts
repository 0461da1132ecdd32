import { DependencyUnavailableError } from "../../shared/errors.ts";
import { type Embedder, type EmbeddingModel, isEmbedded } from "./embedder.ts";
import type { EmbeddingEndpoint, ModelFacts } from "./embedding-endpoint.ts";
import { ModelNotFoundError } from "./errors.ts";
import type { ModelPuller } from "./model-puller.ts";
import { probeText } from "./order-check.ts";

/** What a provider offers now. */
export interface ProviderObservation {
  readonly reachable: boolean;
  /** Models that embed, by canonical name. Empty where the provider does not answer. */
  readonly models: ReadonlyMap<string, ModelFacts>;
}

export const nothingSeen: ProviderObservation = { reachable: false, models: new Map() };

export interface MadeEmbedder<E extends Embedder> {
  readonly embedder: E;
  /** The same without queue and cache: what it answers, the provider has answered now. */
  readonly direct: Embedder;
}

/** A provider in another process. */
export interface RemoteProvider<E extends Embedder = Embedder> {
  readonly endpoint: Pick<EmbeddingEndpoint, "provider" | "label" | "helpForLostModel">;
  /** The model that is preferred, by its canonical name. */
  readonly preferred: string;
  /** Rejects only when the signal aborts. */
  readonly observe: (signal: AbortSignal) => Promise<ProviderObservation>;
  readonly createEmbedder: (name: string, facts: ModelFacts) => MadeEmbedder<E>;
  /** True for a name that the provider may well have, although it does not answer. */
  readonly mayHave: (name: string) => boolean;
  /** Told when a name stands for other contents than before. */
  readonly onOtherContents?: (name: string) => void;
  /** Fetches the preferred model where it is missing. */
  readonly puller?: ModelPuller;
}

/** What is known of one of a provider's models. */
export interface RemoteModelStatus extends EmbeddingModel {
  readonly ready: boolean;
  /** For people. */
  readonly description: string;
}

interface Kept<E extends Embedder> extends MadeEmbedder<E> {
  readonly facts: ModelFacts;
}

/** The models of one provider: which are there, and has the preferred one shown that it embeds? */
export class RemoteModels<E extends Embedder = Embedder> {
  readonly provider: RemoteProvider<E>;
  readonly #kept = new Map<string, Kept<E>>();
  #observation = nothingSeen;
  #proven = false;
  #whyNot = "";

  constructor(provider: RemoteProvider<E>) {
    this.provider = provider;
  }

  /** True once the preferred model has embedded a text, until there is reason for doubt. */
  get proven(): boolean {
    return this.#proven;
  }

  get names(): Iterable<string> {
    return this.#observation.models.keys();
  }

  has(name: string): boolean {
    return this.#observation.models.has(name);
  }

  doubt(): void {
    this.#proven = false;
    this.#whyNot = "";
  }

  /** Looks what is there, and has the preferred model prove itself. */
  async look(signal: AbortSignal): Promise<void> {
    const { preferred, observe, createEmbedder, onOtherContents, puller } = this.provider;
    this.#observation = await observe(signal);
    for (const [name, facts] of this.#observation.models) {
      const kept = this.#kept.get(name);
      if (kept?.facts === facts) continue;
      if (kept !== undefined) onOtherContents?.(name);
      this.#kept.set(name, { ...createEmbedder(name, facts), facts });
      if (name === preferred) this.#proven = false;
    }
    if (this.#observation.reachable && !this.has(preferred)) puller?.start(preferred);
    await this.#prove(signal);
  }

  /** A model that is listed may still not load: only a vector proves it. */
  async #prove(signal: AbortSignal): Promise<void> {
    const kept = this.#kept.get(this.provider.preferred);
    if (!this.has(this.provider.preferred) || kept === undefined) {
      this.#proven = false;
      return;
    }
    if (this.#proven) return;
    try {
      const [outcome] = await kept.direct.embed([probeText], "query", signal);
      this.#proven = outcome !== undefined && isEmbedded(outcome);
      this.#whyNot = outcome !== undefined && "error" in outcome ? outcome.error.message : "";
    } catch (error) {
      signal.throwIfAborted();
      this.#whyNot = error instanceof Error ? error.message : "";
    }
  }

  /** Undefined where the name is none of this provider's. Throws where it is, and cannot be used. */
  embedderOf(name: string): E | undefined {
    const kept = this.#kept.get(name);
    if (this.has(name) && kept !== undefined) return kept.embedder;
    const { endpoint, mayHave, preferred } = this.provider;
    if (this.#observation.reachable) {
      if (name !== preferred && kept === undefined) return undefined;
      const hint = `${endpoint.label} has no such model; ${this.#help(name)}`;
      throw new ModelNotFoundError(name, hint);
    }
    if (name !== preferred && kept === undefined && !mayHave(name)) return undefined;
    const message = `${endpoint.label}, which has ${name}, does not answer`;
    throw new DependencyUnavailableError(endpoint.provider, message);
  }

  status(name: string): RemoteModelStatus {
    const { endpoint, preferred } = this.provider;
    const model = this.#kept.get(name)?.embedder.model ?? {
      name,
      provider: endpoint.provider,
      dimension: 0,
      lexical: false,
    };
    const ready = this.has(name) && (name !== preferred || this.#proven);
    return { ...model, ready, description: this.#describe(name, ready) };
  }

  #describe(name: string, ready: boolean): string {
    const { label } = this.provider.endpoint;
    if (ready) return `Compares meaning; served by ${label}`;
    const notReady = "Compares meaning; not ready: ";
    if (!this.#observation.reachable) return `${notReady}${label} does not answer`;
    if (!this.has(name)) return `${notReady}${this.#help(name)}`;
    if (this.#whyNot === "") return `${notReady}${label} has it; whether it embeds is being tried`;
    return `${notReady}${label} has it but does not embed with it (${this.#whyNot})`;
  }

  #help(name: string): string {
    const { endpoint, preferred, puller } = this.provider;
    const pulling = name === preferred ? puller?.progress : undefined;
    return pulling ?? endpoint.helpForLostModel(name);
  }
}
