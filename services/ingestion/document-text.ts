import { InvalidRequestError } from "../../shared/errors.ts";
import type { ConversionAnswer, DocumentConverter } from "./document-converter.ts";
import { decode, plainLines } from "./file-text.ts";
import type { Language } from "./languages.ts";
import { type MediaType, mediaTypeOf } from "./media-types.ts";

/** A document as a client sends it. */
export interface IncomingDocument {
  readonly uri: string;
  readonly mediaType: string;
  readonly content: Uint8Array;
}

export interface DocumentText {
  readonly text: string;
  readonly language: Language;
}

const failures: Readonly<
  Record<Extract<ConversionAnswer, { failure: string }>["failure"], string>
> = {
  malformed: "is not what its media type says, or is damaged or locked",
  too_large: "would need too much memory",
  too_slow: "takes too long to read",
};

/** The text of a document. Throws InvalidRequestError where it has none of the kind it names. */
export async function textOfDocument(
  document: IncomingDocument,
  converter: DocumentConverter,
  signal: AbortSignal,
): Promise<DocumentText> {
  const type = mediaTypeOf(document.mediaType, document.uri);
  if (type === undefined) throw refusal("media_type", "is none that can be read");
  const text = await convert(document, type, converter, signal);
  return { text: plainLines(text), language: type.language };
}

async function convert(
  { content }: IncomingDocument,
  type: MediaType,
  converter: DocumentConverter,
  signal: AbortSignal,
): Promise<string> {
  if (content.length === 0) return "";
  const { conversion } = type;
  if (conversion === "pdf" || conversion === "docx") {
    return textIn(await converter.convert({ conversion, bytes: content }, signal));
  }
  const text = decodeAs(content, type.charset);
  if (conversion === "html")
    return textIn(await converter.convert({ conversion, html: text }, signal));
  if (conversion === "json") requireJson(text);
  return text;
}

function textIn(answer: ConversionAnswer): string {
  if ("text" in answer) return answer.text;
  throw refusal("content", failures[answer.failure]);
}

function decodeAs(content: Uint8Array, charset: string | undefined): string {
  if (charset === undefined) {
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    const text = decode(bytes);
    if (text === undefined) throw refusal("content", "is no text, as its media type says");
    return text;
  }
  let decoder: TextDecoder;
  try {
    decoder = new TextDecoder(charset, { fatal: true });
  } catch {
    throw refusal("media_type", "names a character set that is not known");
  }
  try {
    return decoder.decode(content);
  } catch {
    throw refusal("content", "is not in the character set that its media type names");
  }
}

function requireJson(text: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw refusal("content", "is no JSON, as its media type says");
  }
}

function refusal(field: string, description: string): InvalidRequestError {
  return new InvalidRequestError([{ field, description }]);
}
