import type { Embedder, PassageStore, Work } from "./ports.ts";

/**
 * The model to embed with for a whole run, even if another becomes the default meanwhile: the
 * collection's, or where it has none yet the embedder's own.
 */
export async function collectionModel(
  peers: { readonly passages: Pick<PassageStore, "model">; readonly embedder: Embedder },
  work: Work,
  patiently: <T>(attempt: () => Promise<T>) => Promise<T>,
): Promise<string> {
  const ofCollection = await patiently(() => peers.passages.model(work));
  if (ofCollection !== "") return ofCollection;
  return patiently(() => peers.embedder.defaultModel(work));
}
