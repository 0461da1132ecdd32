import { extractText, getDocumentProxy } from "unpdf";

/** The text of a PDF, page after page. Throws where it is none, or is locked by a password. */
export async function pdfText(bytes: Uint8Array): Promise<string> {
  const pdf = await getDocumentProxy(bytes, { verbosity: 0 });
  try {
    const { text } = await extractText(pdf, { mergePages: false });
    return text.map((page) => page.trim()).join("\n\n");
  } finally {
    await pdf.loadingTask.destroy();
  }
}
