// JSON objects of foreign files. JSON.parse silently keeps the last of two equal
// keys and makes own properties named __proto__; both are refused here.

import { CheckpointError } from "../base/errors.ts";
import { excerpt, oneLine } from "../base/excerpt.ts";

/** The largest tokenizer.json of a known model has 35 MB. */
const MAX_BYTES = 2 ** 27;

/** The deepest part of a tokenizer.json is 8 levels down; what walks a value may recurse. */
const MAX_DEPTH = 32;

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
 * @throws {CheckpointError} If it is no JSON, no object, or has a key twice, one named __proto__, or more than 32 levels.
 */
export function parseJsonObject(text: string, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(
      `Cannot parse ${what} as it is not JSON: ${
        oneLine((error as Error).message)
      }`,
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

/**
 * Reads a file that holds a JSON object.
 *
 * @param path The file.
 * @returns The object.
 * @throws {CheckpointError} If it is no such file: too large, not UTF-8, or as for parseJsonObject().
 * @throws {Deno.errors.NotFound} If there is none.
 */
export async function readJsonObject(path: string): Promise<JsonObject> {
  const { isFile, size } = await Deno.stat(path);
  if (!isFile || size > MAX_BYTES) {
    throw new CheckpointError(
      `Cannot read ${path} as it must be a file of at most ${MAX_BYTES} bytes: ${
        isFile ? `its size is ${size}` : "it is not a file"
      }`,
    );
  }
  return parseJsonObject(decodeUtf8(await Deno.readFile(path), path), path);
}

/**
 * Decodes text of a foreign file; a byte order mark is kept.
 *
 * @param bytes The text in UTF-8.
 * @param what Where it comes from, for the message.
 * @throws {CheckpointError} If the bytes are not UTF-8.
 */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    throw new CheckpointError(`Cannot read ${what} as it is not UTF-8`);
  }
}

/** Walks valid JSON and checks the keys of every object in it. */
function checkKeys(text: string, what: string): void {
  // One entry for each open bracket: an object's keys so far, or null for an array.
  const open: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case "{":
      case "[":
        if (open.length === MAX_DEPTH) {
          throw new CheckpointError(
            `Cannot parse ${what} as it is nested deeper than ${MAX_DEPTH} levels`,
          );
        }
        open.push(text[i] === "{" ? new Set() : null);
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
                : `the key ${excerpt(key)} is there twice`
            }`,
          );
        }
        keys.add(key);
        break;
      }
    }
  }
}
