import { strToU8, type Zippable, zipSync } from "fflate";

/** A PDF of one page a text, made by hand. */
export function pdfOf(...pages: readonly string[]): Uint8Array {
  const kids = pages.map((_, index) => `${3 + index * 2} 0 R`).join(" ");
  const font = 3 + pages.length * 2;
  return pdfFile([
    "<< /Type /Catalog /Pages 2 0 R >>",
    `<< /Type /Pages /Kids [${kids}] /Count ${pages.length} >>`,
    ...pages.flatMap((text, index) => [
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents ${4 + index * 2} 0 R ` +
        `/Resources << /Font << /F1 ${font} 0 R >> >> >>`,
      streamOf(Buffer.from(`BT /F1 12 Tf 72 720 Td (${text}) Tj ET`), ""),
    ]),
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
  ]);
}

/** A PDF whose only page's content is this stream, deflated. */
export function pdfOfDeflated(deflated: Uint8Array): Uint8Array {
  return pdfFile([
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << >> >>",
    streamOf(Buffer.from(deflated), " /Filter /FlateDecode"),
  ]);
}

function streamOf(bytes: Buffer, more: string): string {
  return `<< /Length ${bytes.length}${more} >>\nstream\n${bytes.toString("latin1")}\nendstream`;
}

function pdfFile(objects: readonly string[]): Uint8Array {
  let file = "%PDF-1.4\n";
  const offsets: number[] = [];
  for (const [index, body] of objects.entries()) {
    offsets.push(file.length);
    file += `${index + 1} 0 obj\n${body}\nendobj\n`;
  }
  const start = file.length;
  const entries = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`);
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${entries.join("")}`;
  file += `trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF`;
  return new Uint8Array(Buffer.from(file, "latin1"));
}

/** A Word document of a heading and paragraphs; `more` are further entries of its archive. */
export function docxOf(
  heading: string,
  paragraphs: readonly string[],
  more: Zippable = {},
): Uint8Array {
  const paragraph = (text: string, style = "") =>
    `<w:p>${style}<w:r><w:t xml:space="preserve">${text}</w:t></w:r></w:p>`;
  const title = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>';
  const body = paragraph(heading, title) + paragraphs.map((text) => paragraph(text)).join("");
  const word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
  const packages = "http://schemas.openxmlformats.org/package/2006";
  const types = "application/vnd.openxmlformats-officedocument.wordprocessingml";
  const office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
  const xml = (text: string) => strToU8(`<?xml version="1.0" encoding="UTF-8"?>${text}`);
  return zipSync({
    "[Content_Types].xml": xml(
      `<Types xmlns="${packages}/content-types">` +
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>' +
        `<Override PartName="/word/document.xml" ContentType="${types}.document.main+xml"/>` +
        `<Override PartName="/word/styles.xml" ContentType="${types}.styles+xml"/></Types>`,
    ),
    "_rels/.rels": xml(
      `<Relationships xmlns="${packages}/relationships"><Relationship Id="rId1" ` +
        `Type="${office}/officeDocument" Target="word/document.xml"/></Relationships>`,
    ),
    "word/_rels/document.xml.rels": xml(
      `<Relationships xmlns="${packages}/relationships"><Relationship Id="rId1" ` +
        `Type="${office}/styles" Target="styles.xml"/></Relationships>`,
    ),
    "word/styles.xml": xml(
      `<w:styles xmlns:w="${word}"><w:style w:type="paragraph" w:styleId="Heading1">` +
        '<w:name w:val="heading 1"/></w:style></w:styles>',
    ),
    "word/document.xml": xml(`<w:document xmlns:w="${word}"><w:body>${body}</w:body></w:document>`),
    ...more,
  });
}
