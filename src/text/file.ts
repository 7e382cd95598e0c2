// A text of the user's own: a UTF-8 file, its paragraphs separated by blank lines.

import { InputError } from "../base/errors.ts";
import { oneLine } from "../base/excerpt.ts";
import { textOfRows } from "./text_of_rows.ts";
import type { TextSource } from "./text_source.ts";

/** Texts of the literature have 1 to 500 MB; a string of V8 holds 2^29 characters. */
const MAX_BYTES = 2 ** 28;

/**
 * Opens a text file. Rows are its paragraphs; line ends become "\n" and a byte
 * order mark is dropped.
 *
 * @param path The file.
 * @returns The text `file:PATH`.
 * @throws {InputError} If the file is missing, too large, binary, not UTF-8 or holds no text.
 */
export async function openTextFile(path: string): Promise<TextSource> {
  const name = `file:${path}`;
  let bytes: Uint8Array;
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_BYTES) {
      throw new Error(`it has ${size} bytes, allowed are at most ${MAX_BYTES}`);
    }
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const reason = error instanceof Deno.errors.NotFound
      ? "the file does not exist"
      : oneLine(error.message);
    throw new InputError(`Cannot open text ${name}: ${reason}`);
  }
  // Valid in UTF-8, and in no text: what has it is UTF-16 or no text at all.
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    throw new InputError(
      `Cannot open text ${name} as it must be text: byte ${nul} is 0`,
    );
  }
  let content: string;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(
      `Cannot open text ${name} as it must be UTF-8: line ${
        firstInvalidLine(bytes)
      } is not`,
    );
  }
  const rows = content.replaceAll(/\r\n?/g, "\n").split(/\n(?:[ \t]*\n)+/)
    .map((row) => row.replace(/^\n+|\s+$/g, "")).filter((row) => row !== "");
  if (rows.length === 0) {
    throw new InputError(
      `Cannot open text ${name} as it holds no text: its size is ${bytes.length} bytes`,
    );
  }
  return textOfRows(name, rows);
}

/** The number, from 1, of the first line that does not decode. */
function firstInvalidLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    // A line feed is never part of a longer character.
    const feed = bytes.indexOf(0x0a, start);
    const end = feed === -1 ? bytes.length : feed + 1;
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end;
  }
  return line;
}
