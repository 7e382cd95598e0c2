// A text of the user's own: a UTF-8 file, its paragraphs separated by blank lines.

import { InputError } from "../base/errors.ts";
import { textOfRows } from "./text_of_rows.ts";
import type { TextSource } from "./text_source.ts";

/**
 * Opens a text file. Rows are its paragraphs; line ends become "\n" and a byte
 * order mark is dropped.
 *
 * @param path The file.
 * @returns The text `file:PATH`.
 * @throws {InputError} If the file is missing, not UTF-8 or holds no text.
 */
export async function openTextFile(path: string): Promise<TextSource> {
  const name = `file:${path}`;
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const reason = error instanceof Deno.errors.NotFound
      ? "the file does not exist"
      : error.message;
    throw new InputError(`Cannot open text ${name}: ${reason}`);
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
