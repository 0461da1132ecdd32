import { basename, extname } from "node:path/posix";

/** How a text is taken apart: the separator lists in text-splitter.ts, the grammars in grammars.ts. */
export type SplitFamily =
  | "cpp"
  | "csharp"
  | "go"
  | "html"
  | "java"
  | "jvm"
  | "latex"
  | "markdown"
  | "php"
  | "plain"
  | "proto"
  | "python"
  | "rst"
  | "ruby"
  | "rust"
  | "scala"
  | "script"
  | "shell"
  | "sol"
  | "swift"
  | "tsx"
  | "typescript";

/** What a file is written in. */
export interface Language {
  /** Lower case, as it stands in a passage: `typescript`. */
  readonly name: string;
  readonly family: SplitFamily;
  /** Code, as against prose and data: generated code is recognised and left out. */
  readonly code: boolean;
}

/** What a file of an unknown type is taken for, where the caller's patterns ask for it. */
export const plainText: Language = { name: "text", family: "plain", code: false };

const languages: readonly (readonly [Language, extensions: string])[] = [
  [{ name: "python", family: "python", code: true }, "py pyi pyw"],
  [{ name: "markdown", family: "markdown", code: false }, "md mdx markdown mdc"],
  [plainText, "txt text"],
  [{ name: "yaml", family: "plain", code: false }, "yaml yml"],
  [{ name: "typescript", family: "tsx", code: true }, "tsx"],
  [{ name: "typescript", family: "typescript", code: true }, "ts mts cts"],
  [{ name: "javascript", family: "script", code: true }, "js jsx mjs cjs"],
  [{ name: "go", family: "go", code: true }, "go"],
  [{ name: "rust", family: "rust", code: true }, "rs"],
  [{ name: "java", family: "java", code: true }, "java"],
  [{ name: "kotlin", family: "jvm", code: true }, "kt kts"],
  [{ name: "groovy", family: "jvm", code: true }, "groovy gradle"],
  [{ name: "c", family: "cpp", code: true }, "c h"],
  [{ name: "cpp", family: "cpp", code: true }, "cpp cc cxx hpp hh hxx ino"],
  [{ name: "csharp", family: "csharp", code: true }, "cs"],
  [{ name: "ruby", family: "ruby", code: true }, "rb rake gemspec"],
  [{ name: "php", family: "php", code: true }, "php"],
  [{ name: "swift", family: "swift", code: true }, "swift"],
  [{ name: "scala", family: "scala", code: true }, "scala sc"],
  [{ name: "shell", family: "shell", code: true }, "sh bash zsh fish"],
  [{ name: "powershell", family: "plain", code: true }, "ps1 psm1"],
  [{ name: "sql", family: "plain", code: true }, "sql"],
  [{ name: "protobuf", family: "proto", code: true }, "proto"],
  [{ name: "solidity", family: "sol", code: true }, "sol"],
  [{ name: "lua", family: "plain", code: true }, "lua"],
  [{ name: "perl", family: "plain", code: true }, "pl pm"],
  [{ name: "r", family: "plain", code: true }, "r"],
  [{ name: "julia", family: "plain", code: true }, "jl"],
  [{ name: "elixir", family: "plain", code: true }, "ex exs"],
  [{ name: "erlang", family: "plain", code: true }, "erl hrl"],
  [{ name: "haskell", family: "plain", code: true }, "hs"],
  [{ name: "clojure", family: "plain", code: true }, "clj cljs cljc edn"],
  [{ name: "dart", family: "jvm", code: true }, "dart"],
  [{ name: "zig", family: "plain", code: true }, "zig"],
  [{ name: "nix", family: "plain", code: true }, "nix"],
  [{ name: "terraform", family: "plain", code: true }, "tf hcl"],
  [{ name: "graphql", family: "plain", code: true }, "graphql gql"],
  [{ name: "vue", family: "html", code: true }, "vue"],
  [{ name: "svelte", family: "html", code: true }, "svelte"],
  [{ name: "css", family: "plain", code: true }, "css scss sass less"],
  [{ name: "html", family: "html", code: false }, "html htm xhtml"],
  [{ name: "xml", family: "plain", code: false }, "xml xsd xsl"],
  [{ name: "json", family: "plain", code: false }, "json jsonc json5"],
  [{ name: "toml", family: "plain", code: false }, "toml"],
  [{ name: "ini", family: "plain", code: false }, "ini cfg conf properties"],
  [{ name: "rst", family: "rst", code: false }, "rst"],
  [{ name: "asciidoc", family: "plain", code: false }, "adoc asciidoc"],
  [{ name: "org", family: "plain", code: false }, "org"],
  [{ name: "latex", family: "latex", code: false }, "tex"],
];

const byExtension: ReadonlyMap<string, Language> = new Map(
  languages.flatMap(([language, extensions]) =>
    extensions.split(" ").map((extension): [string, Language] => [`.${extension}`, language]),
  ),
);

/** Names that say what they are without an extension. */
const byName = new Map<string, Language>([
  ["dockerfile", { name: "dockerfile", family: "plain", code: true }],
  ["containerfile", { name: "dockerfile", family: "plain", code: true }],
  ["makefile", { name: "makefile", family: "plain", code: true }],
  ["gnumakefile", { name: "makefile", family: "plain", code: true }],
  ["justfile", { name: "makefile", family: "plain", code: true }],
  ["cmakelists.txt", { name: "cmake", family: "plain", code: true }],
  ["rakefile", { name: "ruby", family: "ruby", code: true }],
  ["gemfile", { name: "ruby", family: "ruby", code: true }],
  ["readme", plainText],
  ["license", plainText],
  ["changelog", plainText],
  ["contributing", plainText],
]);

/** The language of a file by its name; undefined where the name tells nothing. */
export function languageOf(path: string): Language | undefined {
  const name = basename(path).toLowerCase();
  return byName.get(name) ?? byExtension.get(extname(name));
}

const byLanguageName: ReadonlyMap<string, Language> = new Map(
  [...byName.values(), ...byExtension.values()].map((language) => [language.name, language]),
);

/** The language of this name; undefined where none has it. */
export function languageNamed(name: string): Language | undefined {
  return byLanguageName.get(name);
}
