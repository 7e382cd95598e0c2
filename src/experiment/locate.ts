// Where an experiment file is wrong, in its author's terms: file, line, column,
// the key's path, what was found, what is allowed, what was probably meant.

import {
  type Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type Pair,
} from "yaml";
import { z } from "zod";
import { excerpt } from "../base/excerpt.ts";
import { nearestName } from "../text/nearest_name.ts";

/** Unknown keys of one place that are explained: each is looked for in the file. */
const MAX_KEYS = 19;

/** A key's path in the file: ["measure", "contexts", 1]. */
export type Path = readonly (string | number)[];

/** An opened YAML file, for error messages. */
export interface Located {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
  /** Paths that the command line set, which have no place in the file. */
  readonly set: readonly { readonly path: Path; readonly text: string }[];
}

/**
 * "file:line:col: " of the node at a path, or of the nearest ancestor that
 * exists; "--set key=value: " where the command line wrote it.
 *
 * @param at The opened file.
 * @param path The key's path.
 * @param key Whether to point at the key instead of its value.
 */
export function place(at: Located, path: Path, key = false): string {
  for (const { path: setPath, text } of at.set) {
    const below = setPath.every((step, i) => path[i] === step);
    // A key that --set made on its way has no place in the file either.
    const above = path.every((step, i) => setPath[i] === step) &&
      offsetOf(at.document, path, key) === undefined;
    if (below || above) return `--set ${text}: `;
  }
  let offset: number | undefined;
  for (let length = path.length; length >= 0; length--) {
    offset = offsetOf(at.document, path.slice(0, length), key);
    if (offset !== undefined) break;
  }
  const { line, col } = at.lines.linePos(offset ?? 0);
  return `${at.file}:${Math.max(line, 1)}:${Math.max(col, 1)}: `;
}

function offsetOf(
  document: Document,
  path: Path,
  key: boolean,
): number | undefined {
  let node: unknown = document.contents;
  let pair: Pair | undefined;
  for (const step of path) {
    pair = undefined;
    if (isMap(node)) {
      pair = node.items.find((item) =>
        isPair(item) && isScalar(item.key) && String(item.key.value) === step
      );
      if (pair === undefined) return undefined;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
    } else return undefined;
  }
  const target = key && pair !== undefined ? pair.key : node ?? pair?.key;
  return (target as Node | undefined)?.range?.[0];
}

/** "measure.contexts[1]" */
export function pathText(path: Path): string {
  return path.map((step, i) =>
    typeof step === "number"
      ? `[${step}]`
      : `${i === 0 ? "" : "."}${
        /^[\w-]{1,40}$/.test(step) ? step : excerpt(step)
      }`
  ).join("");
}

/**
 * Turns the issues of a schema into located lines.
 *
 * @param error What zod found.
 * @param value The value that was checked.
 * @param schema The schema that it was checked against.
 * @param at The opened file.
 * @param prefix Path of `value` in the file.
 */
export function explain(
  error: z.ZodError,
  value: unknown,
  schema: z.ZodType,
  at: Located,
  prefix: Path = [],
): string[] {
  return error.issues.flatMap((issue) =>
    explainIssue(issue, value, schema, at, prefix)
  );
}

function explainIssue(
  issue: z.core.$ZodIssue,
  value: unknown,
  schema: z.ZodType,
  at: Located,
  prefix: Path,
): string[] {
  const path = issue.path as Path;
  const full = [...prefix, ...path];
  const name = pathText(full) || "the file";
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, value, path);
    const rest = issue.keys.length - MAX_KEYS;
    const more = rest > 0
      ? [`${place(at, full)}and ${rest} more unknown keys in ${name}`]
      : [];
    return issue.keys.slice(0, MAX_KEYS).map((key) => {
      const meant = nearestName(key, known);
      const hint = meant === undefined ? "" : ` (did you mean "${meant}"?)`;
      const allowed = known.length === 0 ? "none" : known.join(", ");
      return `${place(at, [...full, key], true)}unknown key ${
        excerpt(key)
      } in ${name}${hint}; allowed: ${allowed}`;
    }).concat(more);
  }
  const found = valueAt(value, path);
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The branch that got furthest is the one that was meant.
    const deepest = issue.errors.find((branch) =>
      branch.some((inner) => inner.path.length > 0)
    );
    if (deepest !== undefined) {
      return deepest.flatMap((inner) =>
        explainIssue(
          { ...inner, path: [...issue.path, ...inner.path] },
          value,
          schema,
          at,
          prefix,
        )
      );
    }
  }
  const allowed = allowedText(issue);
  if (found === undefined) {
    return [`${place(at, full)}${name} is missing; allowed: ${allowed}`];
  }
  const words = allowedWords(issue);
  const meant = typeof found === "string"
    ? nearestName(found, words)
    : undefined;
  const hint = meant === undefined ? "" : ` (did you mean "${meant}"?)`;
  return [
    `${place(at, full)}${name}: found ${
      excerpt(found)
    }${hint}; allowed: ${allowed}`,
  ];
}

function allowedWords(issue: z.core.$ZodIssue): string[] {
  if (issue.code === "invalid_value") return issue.values.map(String);
  if (issue.code === "invalid_union") {
    const options = (issue as { options?: unknown[] }).options ?? [];
    return [
      ...options.map(String),
      ...issue.errors.flatMap((branch) => branch.flatMap(allowedWords)),
    ];
  }
  return [];
}

function allowedText(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.expected === "int" ? "a whole number" : issue.expected;
    case "invalid_value":
      return issue.values.map(String).join(", ");
    case "too_small":
      return issue.origin === "array" || issue.origin === "string"
        ? `at least ${issue.minimum} ${
          issue.origin === "array" ? "entries" : "characters"
        }`
        : `${issue.inclusive ? ">=" : ">"} ${issue.minimum}`;
    case "too_big":
      return issue.origin === "array" || issue.origin === "string"
        ? `at most ${issue.maximum} ${
          issue.origin === "array" ? "entries" : "characters"
        }`
        : `${issue.inclusive ? "<=" : "<"} ${issue.maximum}`;
    case "invalid_format":
      return "pattern" in issue && issue.pattern !== undefined
        ? `text like ${issue.pattern}`
        : issue.format;
    case "invalid_union": {
      const options = (issue as { options?: unknown[] }).options;
      if (options !== undefined) return options.map(String).join(", ");
      const branches = issue.errors.map((branch) =>
        branch.map(allowedText).join(" and ")
      );
      return [...new Set(branches)].join(" or ");
    }
    default:
      return issue.message;
  }
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const step of path) {
    if (typeof current !== "object" || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[step];
  }
  return current;
}

/** The keys that the object at a path may have. */
function keysAt(schema: z.ZodType, value: unknown, path: Path): string[] {
  let current: z.ZodType | undefined = schema;
  let here = value;
  for (const step of [...path, undefined]) {
    current = inner(current, here);
    if (step === undefined || current === undefined) break;
    here = valueAt(here, [step]);
    if (current instanceof z.ZodArray) current = current.element as z.ZodType;
    else if (current instanceof z.ZodObject) {
      current = current.shape[step] as z.ZodType | undefined;
    } else current = undefined;
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

/** Strips wrappers, and chooses the branch of a union that the value is of. */
function inner(
  schema: z.ZodType | undefined,
  value: unknown,
): z.ZodType | undefined {
  let current = schema;
  while (
    current instanceof z.ZodOptional || current instanceof z.ZodDefault ||
    current instanceof z.ZodPrefault
  ) {
    current = current.unwrap() as z.ZodType;
  }
  if (current instanceof z.ZodDiscriminatedUnion) {
    const key = current.def.discriminator;
    const tag = valueAt(value, [key]);
    return (current.options as z.ZodObject[]).find((option) =>
      (option.shape[key] as z.ZodType).safeParse(tag).success
    );
  }
  if (current instanceof z.ZodUnion) {
    const options = current.options as z.ZodType[];
    return options.find((option) => option instanceof z.ZodObject) ??
      options[0];
  }
  return current;
}
