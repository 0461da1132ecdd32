import fc from "fast-check";
import { expect, it } from "vitest";
import { toMemory } from "../../services/ingestion/migration/target-memory.ts";
import { insightsOf } from "../../services/memory/insight-memory.ts";

const told = {
  id: "m",
  memoryType: "agent",
  sourceSystem: "test",
  agentId: "",
  workflowId: "",
  repoId: "",
  metadata: {},
  createTime: undefined,
  expireTime: undefined,
  dedupScope: "",
} as const;

const record = {
  id: "r",
  kind: "insight",
  era: "F",
  tags: [],
  project: "",
  collection: "",
  insightType: "general",
  confidence: undefined,
  metadata: {},
  createMicros: undefined,
  updateMicros: undefined,
  folded: [],
} as const;

/** The two services agree without knowing each other. */
it("gives an insight that is migrated the identity of the same insight that is told", () => {
  const words = fc.lorem({ maxCount: 8 });
  fc.assert(
    fc.property(words, fc.constantFrom("", "!", " — so.", "\n(really)"), (text, more) => {
      const lesson = `Always remember ${text}${more}`;
      const [insight] = insightsOf({ ...told, content: `★ Insight ─────\n${lesson}\n─────` });
      const migrated = toMemory({ ...record, content: lesson.toUpperCase() }, "m1");
      expect(migrated.id).toBe(insight?.memory.id);
      expect(migrated.dedupScope).toBe(insight?.memory.dedupScope);
      expect(migrated.memoryType).toBe(insight?.memory.memoryType);
    }),
  );
});
