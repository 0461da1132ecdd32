import TurndownService from "turndown";

const turndown = new TurndownService({
  headingStyle: "atx",
  codeBlockStyle: "fenced",
  bulletListMarker: "-",
  emDelimiter: "_",
});
const wordless = new Set(
  ["script", "style", "noscript", "template", "iframe", "object", "svg", "canvas"].map((name) =>
    name.toUpperCase(),
  ),
);
turndown.remove((node) => wordless.has(node.nodeName.toUpperCase()));
// Where a picture or link leads is no part of what a page says.
turndown.addRule("words of links", {
  filter: ["a"],
  replacement: (content) => content,
});
turndown.addRule("words of pictures", {
  filter: ["img"],
  replacement: (_, node) => ("getAttribute" in node ? (node.getAttribute("alt") ?? "") : ""),
});

/** The text of a page, with headings, lists and code as Markdown has them. */
export function htmlText(html: string): string {
  return turndown.turndown(html);
}
