import { type Call, remainingMs, withinOrUnavailable } from "./deadline.ts";
import type { NewMemory } from "./memory.ts";
import { readInParts } from "./message-parts.ts";
import type { Documents } from "./ports.ts";

const budgetMs = 5_000;
/** How many are asked for at once: an insight has up to 64 KiB, and the answer tells them whole. */
const mostAtOnce = 100;

/** Which of these memories are stored already: insights keep who told them first. */
export async function knownIds(
  call: Call,
  documents: Documents,
  memories: readonly NewMemory[],
): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  if (memories.length === 0) return known;
  const budget = remainingMs(call, budgetMs);
  const ids = memories.map(({ id }) => id);
  for (let at = 0; at < ids.length; at += mostAtOnce) {
    const found = await readInParts(ids.slice(at, at + mostAtOnce), (some) =>
      withinOrUnavailable(call, "vector-store", budget, (peerCall) =>
        documents.get(peerCall, some),
      ),
    );
    for (const { id } of found) known.add(id);
  }
  return known;
}
