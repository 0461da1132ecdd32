import { readFile } from "node:fs/promises";
import wabt from "wabt";

/** What a WebAssembly source in text form compiles to. */
export async function compiledWat(source: URL): Promise<Buffer> {
  const parsed = (await wabt()).parseWat(source.pathname, await readFile(source, "utf8"), {
    simd: true,
  });
  return Buffer.from(parsed.toBinary({}).buffer);
}
