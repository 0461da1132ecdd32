import { expect, it } from "vitest";
import { addressEnvironment, dialAddress } from "./services.ts";

it.each([
  ["127.0.0.1", "127.0.0.1:1"],
  ["0.0.0.0", "127.0.0.1:1"],
  ["::", "[::1]:1"],
  ["::1", "[::1]:1"],
  ["memory.internal", "memory.internal:1"],
])("what listens on %s is called at %s", (host, address) => {
  expect(dialAddress(host, 1)).toBe(address);
});

it("tells every process its port and its peers' addresses", () => {
  expect(addressEnvironment({ memory: 1, "vector-store": 2 }, "127.0.0.1")).toMatchObject({
    MAHAVISHNU_MEMORY_PORT: "1",
    MAHAVISHNU_MEMORY_ADDRESS: "127.0.0.1:1",
    MAHAVISHNU_VECTOR_STORE_ADDRESS: "127.0.0.1:2",
  });
});
