import { parentPort } from "node:worker_threads";
import type { ConversionAnswer, ConversionRequest } from "./document-converter.ts";
import { ArchiveTooLargeError, docxText } from "./docx-text.ts";
import { htmlText } from "./html-text.ts";
import { pdfText } from "./pdf-text.ts";

// A thread of its own: what a hostile document does to it, it does to no one else.
parentPort?.on("message", async (request: ConversionRequest) => {
  parentPort?.postMessage(await answer(request));
});

async function answer(request: ConversionRequest): Promise<ConversionAnswer> {
  try {
    const text = await convert(request);
    if (text.length > request.maxCharacters) return { failure: "too_large" };
    return { text };
  } catch (error) {
    return { failure: error instanceof ArchiveTooLargeError ? "too_large" : "malformed" };
  }
}

async function convert(request: ConversionRequest): Promise<string> {
  switch (request.conversion) {
    case "html":
      return htmlText(request.html);
    case "pdf":
      return await pdfText(request.bytes);
    case "docx":
      return await docxText(request.bytes, request.maxUnpackedBytes);
  }
}
