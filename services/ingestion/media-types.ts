import { extname } from "node:path/posix";
import { type Language, languageNamed, languageOf, plainText } from "./languages.ts";

/** How a document's bytes become text. */
export type Conversion = "none" | "json" | "html" | "pdf" | "docx";

/** What a document is. */
export interface MediaType {
  readonly conversion: Conversion;
  /** Of the text that it becomes. */
  readonly language: Language;
  /** As named by the sender; undefined: to be found out. */
  readonly charset: string | undefined;
}

const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

/** What is converted; the text that comes out has headings as Markdown has. */
const converted: Readonly<Record<string, Exclude<Conversion, "none">>> = {
  "text/html": "html",
  "application/xhtml+xml": "html",
  "application/pdf": "pdf",
  [docx]: "docx",
  "application/json": "json",
};

const convertedExtensions: Readonly<Record<string, Conversion>> = {
  ".html": "html",
  ".htm": "html",
  ".xhtml": "html",
  ".pdf": "pdf",
  ".docx": "docx",
};

/** Types whose name does not say the language. */
const named: Readonly<Record<string, string>> = {
  "text/plain": "text",
  "application/javascript": "javascript",
  "application/ecmascript": "javascript",
  "application/typescript": "typescript",
  "application/x-ndjson": "json",
  "application/jsonl": "json",
  "application/xml": "xml",
  "application/yaml": "yaml",
  "application/toml": "toml",
  "application/sql": "sql",
  "application/graphql": "graphql",
  "application/x-sh": "shell",
  "application/x-tex": "latex",
  "application/x-latex": "latex",
  "application/x-python": "python",
  "application/x-ruby": "ruby",
  "application/x-httpd-php": "php",
  "application/x-perl": "perl",
  "text/x-c": "c",
  "text/x-csrc": "c",
  "text/x-chdr": "c",
  "text/x-c++": "cpp",
  "text/x-c++src": "cpp",
  "text/x-c++hdr": "cpp",
  "text/x-csharp": "csharp",
  "text/x-golang": "go",
  "text/x-java-source": "java",
  "text/x-script.python": "python",
  "text/x-sh": "shell",
  "text/x-shellscript": "shell",
  "text/jsx": "javascript",
  "text/tsx": "typescript",
};

/** Undefined where nothing is known of such documents. */
export function mediaTypeOf(given: string, uri: string): MediaType | undefined {
  if (given === "") return byUri(uri);
  const { essence, charset } = parse(given);
  const conversion = converted[essence];
  if (conversion !== undefined) return { conversion, language: languageAfter(conversion), charset };
  const name = named[essence] ?? nameWithin(essence);
  const language = name === undefined ? undefined : languageNamed(name);
  if (language !== undefined) return { conversion: "none", language, charset };
  // Text of a kind that is not known is text; by its name more may be told.
  if (!essence.startsWith("text/")) return undefined;
  return { conversion: "none", language: languageOf(uri) ?? plainText, charset };
}

function byUri(uri: string): MediaType {
  const conversion = convertedExtensions[extname(uri).toLowerCase()] ?? "none";
  const language =
    conversion === "none" ? (languageOf(uri) ?? plainText) : languageAfter(conversion);
  return { conversion, language, charset: undefined };
}

function languageAfter(conversion: Conversion): Language {
  const name = conversion === "json" ? "json" : "markdown";
  return languageNamed(name) ?? plainText;
}

/** `text/x-python`, `text/markdown`, `application/geo+json`. */
function nameWithin(essence: string): string | undefined {
  return (
    essence.match(/^text\/(?:x-|vnd\.)?([a-z0-9]+)$/)?.[1] ??
    essence.match(/^application\/.+\+(json|xml|yaml)$/)?.[1]
  );
}

function parse(given: string): { essence: string; charset: string | undefined } {
  const [essence = "", ...parameters] = given.split(";").map((part) => part.trim());
  const charset = parameters
    .map((parameter) => parameter.match(/^charset\s*=\s*"?([^"]+)"?$/i)?.[1])
    .find((one) => one !== undefined);
  return { essence: essence.toLowerCase(), charset };
}
