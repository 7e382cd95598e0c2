// Foreign values in error messages. A file may name a tensor with a line break,
// an escape sequence of a terminal or ten megabytes, or nest deeper than
// JSON.stringify() can follow; a message stays one short line.

const MAX_CHARACTERS = 80;
const MAX_DEPTH = 4;

/** Controls, line and paragraph separators, marks that reorder text, halves of surrogate pairs. */
const UNPRINTABLE =
  // deno-lint-ignore no-control-regex -- these are what must not reach a terminal
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu;

/**
 * Writes a foreign value as JSON, cut where it is long or deep.
 *
 * @param value Anything.
 * @param maxCharacters Longest text; a cut one ends with "...".
 * @returns One line without control characters.
 */
export function excerpt(
  value: unknown,
  maxCharacters: number = MAX_CHARACTERS,
): string {
  return cut(written(value, maxCharacters, 0), maxCharacters);
}

/**
 * Makes one line of a text that a library wrote, such as an error's message.
 *
 * @param text Any text.
 * @param maxCharacters Longest text; a cut one ends with "...".
 * @returns The text, white space as single spaces, no control characters.
 */
export function oneLine(text: string, maxCharacters = 240): string {
  const line = text.slice(0, 4 * maxCharacters).replaceAll(/\s+/g, " ").trim();
  return cut(line.replaceAll(UNPRINTABLE, escaped), maxCharacters);
}

function written(value: unknown, room: number, depth: number): string {
  if (typeof value === "string") {
    // Escapes only lengthen a text, so a cut at `room` loses nothing that is shown.
    return JSON.stringify(value.slice(0, room)).replaceAll(
      UNPRINTABLE,
      escaped,
    );
  }
  if (typeof value !== "object" || value === null) return String(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (depth >= MAX_DEPTH) return `${open}...${close}`;
  let text = open!;
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue;
    if (text.length > room) return text;
    if (text.length > 1) text += ",";
    if (!Array.isArray(value)) text += `${written(key, room, depth)}:`;
    text += written(
      (value as Record<string, unknown>)[key],
      room - text.length,
      depth + 1,
    );
  }
  return text + close;
}

function cut(text: string, maxCharacters: number): string {
  return text.length > maxCharacters
    ? `${text.slice(0, maxCharacters - 3).replace(/\p{Cs}$/u, "")}...`
    : text;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
