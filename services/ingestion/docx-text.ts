import { unzipSync } from "fflate";
import mammoth from "mammoth";
import { htmlText } from "./html-text.ts";

const maxEntries = 10_000;

/** An archive that holds more than it is worth. */
export class ArchiveTooLargeError extends Error {
  override readonly name = "ArchiveTooLargeError";
}

/**
 * The text of a Word document, with headings and lists as Markdown has them. Throws where it is
 * none, and ArchiveTooLargeError where it would unpack to more than `maxBytes`.
 */
export async function docxText(bytes: Uint8Array, maxBytes: number): Promise<string> {
  checkArchive(bytes, maxBytes);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ignoreImages = mammoth.images.imgElement(async () => ({ src: "" }));
  const { value } = await mammoth.convertToHtml({ buffer }, { convertImage: ignoreImages });
  return htmlText(value);
}

/**
 * Unpacks once, into no more than the archive itself says, which must be little enough: what says
 * too little of itself fails here, and not where it would fill the memory.
 */
function checkArchive(bytes: Uint8Array, maxBytes: number): void {
  let total = 0;
  let entries = 0;
  let isDocument = false;
  unzipSync(bytes, {
    filter: ({ name, originalSize }) => {
      total += originalSize;
      entries++;
      isDocument ||= name === "word/document.xml";
      if (total > maxBytes || entries > maxEntries) {
        throw new ArchiveTooLargeError("the archive would unpack to more than is accepted");
      }
      return true;
    },
  });
  if (!isDocument) throw new Error("the archive holds no Word document");
}
