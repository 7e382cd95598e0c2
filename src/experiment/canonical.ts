// Short names of values: the same value gives the same name, in whatever order
// its keys were written.

import { contentKey, type KeyContent } from "../base/content_key.ts";

/**
 * First 16 hex digits of the sha256 of a value's canonical JSON.
 *
 * @param value A JSON value; undefined fields are left out.
 * @throws {RangeError} If a number is not finite.
 */
export function shortHash(value: unknown): string {
  return contentKey(value as KeyContent).slice(0, 16);
}
