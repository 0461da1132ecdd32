import { type Component, ProbeFailure } from "./component-health.ts";

export interface OllamaOptions {
  /** Base of its HTTP API, such as `http://127.0.0.1:11434`. */
  readonly url: string;
  /** Whether the embedding service is configured to use it, and whether something stands in. */
  readonly use: "preferred" | "required" | "unused";
}

const largestAnswerBytes = 4_096;

/**
 * Ollama as a component. It is never unhealthy: the platform works without it, if less well, and
 * where it does not, the component `embedding` says so.
 */
export function ollamaComponent({ url, use }: OllamaOptions): Component {
  const { base, authorization } = endpoint(url);
  const facts = { address: base };
  if (use === "unused") {
    const message = "not used: another embedder is configured";
    const probe = async () => ({ status: "healthy" as const, message, metadata: {} });
    return { name: "ollama", facts, probe };
  }
  const instead =
    use === "preferred"
      ? "the built-in lexical embedder answers"
      : "texts are embedded once it answers";
  return {
    name: "ollama",
    facts,
    whenFailing: { status: "degraded", message: instead },
    async probe(signal) {
      const version = await readVersion(`${base}/api/version`, authorization, signal);
      return { status: "healthy", message: `Ollama ${version}`, metadata: { version } };
    },
  };
}

/** fetch refuses credentials within a URL, and they must not be shown. */
function endpoint(url: string): { base: string; authorization: string | undefined } {
  const parsed = new URL(url);
  const credentials = [parsed.username, parsed.password].map(decodeURIComponent).join(":");
  parsed.username = "";
  parsed.password = "";
  return {
    base: parsed.href.replace(/\/+$/, ""),
    authorization:
      credentials === ":" ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`,
  };
}

async function readVersion(
  url: string,
  authorization: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const headers = authorization === undefined ? {} : { authorization };
  const response = await fetch(url, { signal, headers }).catch((error: unknown) => {
    throw new ProbeFailure("not reachable", { cause: error });
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new ProbeFailure(`answers HTTP ${response.status}`);
  }
  const version = versionOf(await readText(response));
  if (version === undefined) throw new ProbeFailure("does not answer as Ollama does");
  return version;
}

/** The text, or its beginning: whatever listens there may send without end. */
async function readText(response: Response): Promise<string> {
  let text = "";
  for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    if (text.length > largestAnswerBytes) break;
  }
  return text;
}

function versionOf(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("version" in value)) return undefined;
    return typeof value.version === "string" ? value.version : undefined;
  } catch {
    return undefined;
  }
}
