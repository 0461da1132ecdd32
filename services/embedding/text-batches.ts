/**
 * Cuts a list into batches, in its order, of at most so many items and so much size together; an
 * item that is larger by itself is a batch by itself.
 */
export function batchesOf<T>(
  items: readonly T[],
  sizeOf: (item: T) => number,
  mostItems: number,
  mostSize: number,
): T[][] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let size = 0;
  for (const item of items) {
    const itemSize = sizeOf(item);
    if (batch.length > 0 && (batch.length >= mostItems || size + itemSize > mostSize)) {
      batches.push(batch);
      batch = [];
      size = 0;
    }
    batch.push(item);
    size += itemSize;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
