// Makes a text of its rows.

import { createHash } from "node:crypto";
import type { TextSource } from "./text_source.ts";

/**
 * Joins rows to a text and hashes it.
 *
 * @param name The text's name.
 * @param rows Its rows, in order.
 * @returns The text.
 */
export function textOfRows(name: string, rows: readonly string[]): TextSource {
  const text = rows.join("\n\n");
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { name, rows, text, sha256 };
}
