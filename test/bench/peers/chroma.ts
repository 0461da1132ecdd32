import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import getPort from "get-port";

/** Chroma's server, asked over HTTP as its clients do. */
export class ChromaServer implements AsyncDisposable {
  readonly #url: string;
  readonly #stop: () => Promise<void>;
  #collection = "";

  private constructor(url: string, stop: () => Promise<void>) {
    this.#url = url;
    this.#stop = stop;
  }

  static async start(program: string, folder: string): Promise<ChromaServer> {
    const port = await getPort();
    const given = ["run", "--path", join(folder, "chroma"), "--port", String(port)];
    const child = spawn(program, given, { stdio: "ignore" });
    const exited = once(child, "exit");
    const server = new ChromaServer(
      `http://127.0.0.1:${port}/api/v2/tenants/default_tenant/databases/default_database`,
      async () => {
        child.kill("SIGTERM");
        await exited;
      },
    );
    for (let tries = 0; ; tries++) {
      try {
        await server.#post("/collections", { name: "probe", get_or_create: true });
        return server;
      } catch (error) {
        if (tries === 200) {
          await server[Symbol.asyncDispose]();
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async load(contents: readonly string[], vectors: readonly Float32Array[]): Promise<void> {
    const made = (await this.#post("/collections", {
      name: "documents",
      configuration: { hnsw: { space: "cosine" } },
    })) as { id: string };
    this.#collection = made.id;
    const batch = 1_000;
    for (let at = 0; at < contents.length; at += batch) {
      const documents = contents.slice(at, at + batch);
      await this.#post(`/collections/${made.id}/add`, {
        ids: documents.map((_, i) => String(at + i)),
        documents,
        embeddings: vectors.slice(at, at + batch).map((one) => [...one]),
      });
    }
  }

  async search(vector: Float32Array, limit: number): Promise<string[]> {
    const answer = (await this.#post(`/collections/${this.#collection}/query`, {
      query_embeddings: [[...vector]],
      n_results: limit,
      include: ["documents", "distances"],
    })) as { ids: string[][] };
    return answer.ids[0] ?? [];
  }

  async #post(path: string, body: unknown): Promise<unknown> {
    const response = await fetch(`${this.#url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Chroma answers ${response.status}: ${text.slice(0, 200)}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}
