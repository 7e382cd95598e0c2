// Tables as LaTeX with rules of booktabs, made no wider than the text by
// graphicx.

import type { NamedTable } from "./named_tables.ts";
import type { Column, TableCell } from "./table.ts";

/** What pdfLaTeX would not typeset, or would take for a command. */
const REPLACEMENTS: Readonly<Record<string, string>> = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  "&": "\\&",
  "%": "\\%",
  "$": "\\$",
  "#": "\\#",
  "_": "\\_",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "<": "\\textless{}",
  ">": "\\textgreater{}",
  "|": "\\textbar{}",
  '"': "\\textquotedbl{}",
  "\u00a0": "~",
  "−": "$-$",
  "–": "--",
  "±": "$\\pm$",
  "×": "$\\times$",
  "·": "$\\cdot$",
  "Δ": "$\\Delta$",
  "∞": "$\\infty$",
  "≤": "$\\le$",
  "≥": "$\\ge$",
  "’": "'",
  "‘": "`",
  "“": "``",
  "”": "''",
  "…": "\\ldots{}",
  "↵": "$\\hookleftarrow$",
};

/** Escapes text for LaTeX; line breaks become spaces, since an empty line ends a caption. */
export function escapeLatex(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, " ").replace(
    /[\\{}&%$#_~^<>|"\u00a0−–±×·Δ∞≤≥’‘“”…↵]/g,
    (character) => REPLACEMENTS[character]!,
  );
}

/**
 * A floating table with rules of booktabs.
 *
 * @param named The table.
 * @returns LaTeX; the protocol is in its caption and in a comment before it.
 */
export function latexTable(named: NamedTable): string {
  const { name, title, caption, table, protocols } = named;
  const comments = [...protocols].flatMap(([run, protocol]) =>
    Object.entries({ ...(run === "" ? {} : { run }), ...protocol }).filter((
      [, value],
    ) => value !== "").map(([key, value]) =>
      `% ${key}: ${value.replace(/[\r\n]+/g, " ")}`
    )
  );
  return [
    "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.",
    ...comments,
    "\\begin{table}[htbp]",
    "\\centering",
    "\\footnotesize",
    "\\setlength{\\tabcolsep}{4pt}",
    `\\caption{${escapeLatex(`${title}. ${caption}`)}}`,
    `\\label{tab:${
      `${
        [...protocols.values()].map(({ experiment }) => experiment).join("-")
      }-${name}`
        .replace(/[^a-z0-9]+/gi, "-")
    }}`,
    // No wider than the text, and no larger than it is.
    "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
    `\\begin{tabular}{@{}${
      table.columns.map(({ align }) => align[0]).join("")
    }@{}}`,
    "\\toprule",
    ...headLines(table.columns),
    "\\midrule",
    ...table.rows.flatMap(({ cells, tone }, i) => [
      line(cells.map(cellText)),
      ...tone === "baseline" && table.rows[i + 1] !== undefined &&
          table.rows[i + 1]!.tone !== "baseline"
        ? ["\\addlinespace"]
        : [],
    ]),
    "\\bottomrule",
    "\\end{tabular}}",
    "\\end{table}",
    "",
  ].join("\n");
}

function headLines(columns: readonly Column[]): string[] {
  const heads = line(columns.map(({ head }) => escapeLatex(head)));
  if (columns.every(({ group }) => group === undefined)) return [heads];
  const groups: string[] = [];
  const rules: string[] = [];
  for (let i = 0; i < columns.length;) {
    const { group } = columns[i]!;
    let span = 1;
    while (group !== undefined && columns[i + span]?.group === group) span++;
    groups.push(
      group === undefined
        ? ""
        : `\\multicolumn{${span}}{c}{${escapeLatex(group)}}`,
    );
    if (group !== undefined) rules.push(`\\cmidrule(lr){${i + 1}-${i + span}}`);
    i += span;
  }
  return [line(groups), rules.join(" "), heads];
}

function cellText({ text, note }: TableCell): string {
  if (note === undefined) return escapeLatex(text);
  return escapeLatex(
    /^[±[]/.test(note) ? `${text} ${note}` : `${text} (${note})`,
  );
}

/** A cell that begins with a bracket would be taken for an option of the line before. */
function line(cells: readonly string[]): string {
  return `${
    cells.map((cell) => cell.startsWith("[") ? `{}${cell}` : cell).join(" & ")
  } \\\\`;
}
