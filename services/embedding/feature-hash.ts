/**
 * A 32-bit hash of `text[from, to)`: FNV-1a over UTF-16 code units, then a full avalanche, so that
 * every bit of it may be used. It reads code units, not bytes, and uses integer arithmetic only:
 * the same on every platform. Vectors at rest depend on it, so it never changes.
 */
export function featureHash(seed: number, text: string, from = 0, to = text.length): number {
  let hash = (0x811c9dc5 ^ seed) | 0;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Adds a feature to a vector: one bit of the hash gives the sign, the others the place. Random
 * signs make features that meet in one place cancel out on average instead of adding up.
 */
export function addFeature(vector: Float64Array, hash: number, weight: number): void {
  const place = (hash >>> 1) % vector.length;
  vector[place] = (vector[place] ?? 0) + ((hash & 1) === 1 ? weight : -weight);
}
