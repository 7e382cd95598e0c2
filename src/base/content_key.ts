// Names made of content: equal input, equal name, on every machine.

import { createHash } from "node:crypto";

/** What a key can be made of. */
export type KeyContent =
  | string
  | number
  | boolean
  | null
  | readonly KeyContent[]
  | { readonly [name: string]: KeyContent | undefined };

/**
 * The sha256 of a value's canonical JSON: keys sorted, absent ones left out.
 *
 * @param content Plain data.
 * @returns 64 hex digits.
 */
export function contentKey(content: KeyContent): string {
  return createHash("sha256").update(canonicalJson(content)).digest("hex");
}

function canonicalJson(content: KeyContent): string {
  if (content === null || typeof content !== "object") {
    if (typeof content === "number" && !Number.isFinite(content)) {
      throw new RangeError(`Cannot hash ${content} as numbers must be finite`);
    }
    return JSON.stringify(content);
  }
  if (Array.isArray(content)) {
    return `[${content.map(canonicalJson).join(",")}]`;
  }
  const fields = Object.entries(content)
    .filter((entry): entry is [string, KeyContent] => entry[1] !== undefined)
    .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
    .map(([name, value]) => `${JSON.stringify(name)}:${canonicalJson(value)}`);
  return `{${fields.join(",")}}`;
}
