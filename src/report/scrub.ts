// Takes out of records what names a person or a machine before they are
// published: folders, user and host names. Hardware stays, it decides speeds.

import { isObject } from "./load.ts";

/** Fields that name a host, a user or a place in a file system. */
const PRIVATE_KEY =
  /^(host|host_?name|user|user_?name|home|home_?dir|cwd|pid|ip|node_?name|exec_?path)$/i;

/** An absolute path of two or more parts, or of one under a home; URLs are left alone. */
const POSIX_PATH =
  /(?<![\w./~@-])(?:~|\/[\w.+@~-]+)(?:\/[\w.+@~-]+)*\/([\w.+@~-]+)/g;
const WINDOWS_PATH =
  /(?<![\w])[A-Za-z]:\\(?:[^\\/:*?"<>|\s]+\\)*([^\\/:*?"<>|\s]+)/g;
const FILE_URL = /file:\/\/\/?(?:[^\s"'/]+\/)*([^\s"'/]+)/g;

/**
 * Cuts absolute paths in a text down to their last part.
 *
 * @param text Any text.
 * @param names Words to replace by "host", for instance this machine's name.
 * @returns The text without folders.
 */
export function scrubText(text: string, names: readonly string[] = []): string {
  let scrubbed = text.replace(FILE_URL, "$1").replace(POSIX_PATH, "$1").replace(
    WINDOWS_PATH,
    "$1",
  );
  for (const name of names) {
    if (name.length < 3 || name === "localhost") continue;
    scrubbed = scrubbed.replaceAll(name, "host");
  }
  return scrubbed;
}

/**
 * Scrubs every string of a JSON value and drops fields that name a machine.
 *
 * @param value A JSON value.
 * @param names As for scrubText().
 * @returns A copy.
 */
export function scrub<T>(value: T, names: readonly string[] = []): T {
  return scrubValue(value, names) as T;
}

/** Values of the fields that scrub() drops, to be removed from texts as well. */
export function privateNames(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(privateNames);
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    /^(host_?name|node_?name|user_?name)$/i.test(key) &&
      typeof item === "string"
      ? [item]
      : privateNames(item)
  );
}

function scrubValue(value: unknown, names: readonly string[]): unknown {
  if (typeof value === "string") return scrubText(value, names);
  if (Array.isArray(value)) return value.map((item) => scrubValue(item, names));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => !PRIVATE_KEY.test(key)).map((
      [key, item],
    ) => [key, scrubValue(item, names)]),
  );
}
