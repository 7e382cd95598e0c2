// JSON objects of foreign files. JSON.parse silently keeps the last of two equal
// keys and makes own properties named __proto__; both are refused here.

import { CheckpointError } from "../base/errors.ts";

/** A parsed JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a JSON value is an object (no array, no null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Parses a JSON object.
 *
 * @param text The JSON.
 * @param what Where it comes from, for the message.
 * @returns The object.
 * @throws {CheckpointError} If it is no JSON, no object, or has a key twice or one named __proto__.
 */
export function parseJsonObject(text: string, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(
      `Cannot parse ${what} as it is not JSON: ${(error as Error).message}`,
    );
  }
  if (!isJsonObject(value)) {
    throw new CheckpointError(
      `Cannot parse ${what} as it must be a JSON object`,
    );
  }
  checkKeys(text, what);
  return value;
}

/** Walks valid JSON and checks the keys of every object in it. */
function checkKeys(text: string, what: string): void {
  // One entry for each open bracket: an object's keys so far, or null for an array.
  const open: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case "{":
        open.push(new Set());
        break;
      case "[":
        open.push(null);
        break;
      case "}":
      case "]":
        open.pop();
        break;
      case '"': {
        const start = i++;
        while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
        const keys = open.at(-1);
        if (!keys) break;
        let after = i + 1;
        while (/\s/.test(text[after] ?? "")) after++;
        if (text[after] !== ":") break;
        const key = JSON.parse(text.slice(start, i + 1)) as string;
        if (key === "__proto__" || keys.has(key)) {
          throw new CheckpointError(
            `Cannot parse ${what} as ${
              key === "__proto__"
                ? "a key is named __proto__"
                : `the key "${key}" is there twice`
            }`,
          );
        }
        keys.add(key);
        break;
      }
    }
  }
}
