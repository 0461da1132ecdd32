import { deflateSync } from "node:zlib";
import { strToU8, zipSync } from "fflate";
import { afterAll, describe, expect, it } from "vitest";
import { docxOf, pdfOf, pdfOfDeflated } from "../../test/harness/office-documents.ts";
import { converterDefaults, DocumentConverter } from "./document-converter.ts";
import { textOfDocument } from "./document-text.ts";

const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const converter = new DocumentConverter({
  ...converterDefaults,
  threads: 1,
  maxMemoryBytes: 192 * 1024 * 1024,
  maxUnpackedBytes: 4 * 1024 * 1024,
});
const never = new AbortController().signal;

afterAll(() => converter[Symbol.asyncDispose]());

async function read(content: string | Uint8Array, mediaType: string, uri = "a") {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const { text, language } = await textOfDocument(
    { uri, mediaType, content: bytes },
    converter,
    never,
  );
  return { text, language: language.name };
}

async function refusedField(content: string | Uint8Array, mediaType: string): Promise<string> {
  const error = await read(content, mediaType).then(
    () => undefined,
    (one: unknown) => one,
  );
  expect(error).toMatchObject({ kind: "invalid_argument" });
  return (error as { violations: { field: string }[] }).violations[0]?.field ?? "";
}

describe("textOfDocument", () => {
  it.each([
    ["text/plain", "", "text"],
    ["text/markdown; charset=utf-8", "", "markdown"],
    ["TEXT/X-Python", "", "python"],
    ["text/javascript", "", "javascript"],
    ["application/typescript", "", "typescript"],
    ["application/vnd.api+json", "", "json"],
    ["text/x-unheard-of", "src/main.rs", "rust"],
    ["text/x-unheard-of", "", "text"],
    ["", "src/main.go", "go"],
    ["", "README", "text"],
    ["", "no-extension", "text"],
  ])("takes %s %s for %s", async (mediaType, uri, language) => {
    expect(await read("[1]\r\n", mediaType, uri)).toEqual({ text: "[1]\n", language });
  });

  it("decodes as the media type says, or by what the bytes tell", async () => {
    const words = `${"Some words of prose. ".repeat(10)}caf\u00e9`;
    const latin1 = Buffer.from(words, "latin1");
    expect((await read(latin1, "text/plain; charset=ISO-8859-1")).text).toBe(words);
    expect((await read(latin1, "text/plain")).text).toBe(words);
    const utf16 = Buffer.from("\ufeffcaf\u00e9", "utf16le");
    expect((await read(utf16, "text/plain")).text).toBe("caf\u00e9");
    expect(await refusedField(latin1, "text/plain; charset=utf-8")).toBe("content");
    expect(await refusedField("x", "text/plain; charset=klingon")).toBe("media_type");
    expect(await refusedField(new Uint8Array([0, 1, 2, 255, 0, 7]), "text/plain")).toBe("content");
  });

  it("takes the words of a page, with its headings", async () => {
    const html = `<html><head><title>T</title><style>p {}</style></head><body><h1>Tea</h1>
      <script>alert(1)</script><p>Steep <b>four</b> minutes, see <a href="/x">here</a>.</p>
      <ul><li>green</li></ul></body></html>`;
    expect(await read(html, "text/html")).toEqual({
      text: "T\n\n# Tea\n\nSteep **four** minutes, see here.\n\n-   green",
      language: "markdown",
    });
    expect((await read("<h2>A</h2>", "", "a.HTML")).text).toBe("## A");
  });

  it("takes JSON as it is, and only JSON", async () => {
    expect(await read('{"a": 1}', "application/json")).toEqual({
      text: '{"a": 1}',
      language: "json",
    });
    expect(await refusedField('{"a": ', "application/json")).toBe("content");
  });

  it("reads PDF and Word documents", async () => {
    expect(await read(pdfOf("Page one says hello", "Page two"), "application/pdf")).toEqual({
      text: "Page one says hello\n\nPage two",
      language: "markdown",
    });
    expect(await read(docxOf("Title", ["First words.", "More."]), docx)).toEqual({
      text: "# Title\n\nFirst words.\n\nMore.",
      language: "markdown",
    });
    expect((await read(pdfOf("By name"), "", "report.pdf")).text).toBe("By name");
  });

  it("refuses what is damaged or something else, and goes on", async () => {
    expect(await refusedField("no pdf", "application/pdf")).toBe("content");
    expect(await refusedField("no zip", docx)).toBe("content");
    expect(await refusedField(zipSync({ "a.txt": strToU8("x") }), docx)).toBe("content");
    const whole = docxOf("Title", ["words"]);
    expect(await refusedField(whole.slice(0, whole.length - 40), docx)).toBe("content");
    expect(await refusedField("x", "image/png")).toBe("media_type");
    expect(await refusedField("x", "application/octet-stream")).toBe("media_type");
    expect((await read(pdfOf("Still here"), "application/pdf")).text).toBe("Still here");
  });

  it("unpacks no more than it accepts, whatever the archive says of itself", async () => {
    const bomb = docxOf("Title", ["x"], { "word/media/big.bin": new Uint8Array(32 * 1024 * 1024) });
    expect(bomb.length).toBeLessThan(200_000);
    expect(await refusedField(bomb, docx)).toBe("content");
    // An archive that says each of its entries is one byte long.
    const liar = Buffer.from(bomb);
    for (let at = liar.indexOf("PK\u0001\u0002"); at !== -1; ) {
      liar.writeUInt32LE(1, at + 24);
      at = liar.indexOf("PK\u0001\u0002", at + 4);
    }
    expect(await refusedField(liar, docx)).toBe("content");
    expect((await read(docxOf("Fine", []), docx)).text).toBe("# Fine");
  });

  it("ends the conversion of a PDF that swells beyond what one may hold", async () => {
    const swelling = pdfOfDeflated(deflateSync(Buffer.alloc(700 * 1024 * 1024, " "), { level: 9 }));
    expect(swelling.length).toBeLessThan(8 * 1024 * 1024);
    expect(await refusedField(swelling, "application/pdf")).toBe("content");
    expect((await read(pdfOf("Still here"), "application/pdf")).text).toBe("Still here");
  }, 60_000);

  it("stops converting when nobody waits", async () => {
    const stop = new AbortController();
    const bytes = pdfOfDeflated(deflateSync(Buffer.alloc(100 * 1024 * 1024, " "), { level: 9 }));
    const converting = converter.convert({ conversion: "pdf", bytes }, stop.signal);
    stop.abort(new Error("left"));
    await expect(converting).rejects.toThrow("left");
  });
});
