// Options of a conversion method from outside: checked by the method's schema,
// errors in the words of the command line.

import { z } from "zod";
import { InputError } from "../base/errors.ts";
import type { Method } from "../conversion/method.ts";
import { defaultOptions } from "../experiment/schema.ts";
import { nearestName } from "../text/nearest_name.ts";

/** An option of a method, for people. */
export interface MethodOption {
  readonly name: string;
  /** Absent where it must be given. */
  readonly fallback?: unknown;
  /** "whole number >= 1, or full" */
  readonly allowed: string;
  readonly meaning: string;
}

/** The options of a method, in the order of its schema. */
export function methodOptions(method: Method): MethodOption[] {
  const defaults = defaultOptions(method);
  return Object.entries(method.options.shape).map(([name, schema]) => ({
    name,
    ...(name in defaults ? { fallback: defaults[name] } : {}),
    allowed: allowedText(
      z.toJSONSchema(schema as z.ZodType, {
        io: "input",
        unrepresentable: "any",
      }),
    ),
    meaning: z.globalRegistry.get(schema as z.ZodType)?.description ??
      (schema as z.ZodType).description ?? "",
  }));
}

/** What of JSON Schema options and keys use. */
export interface ValueSchema {
  readonly type?: unknown;
  readonly anyOf?: unknown;
  readonly enum?: unknown;
  readonly const?: unknown;
  readonly items?: unknown;
  readonly minimum?: unknown;
  readonly exclusiveMinimum?: unknown;
  readonly maximum?: unknown;
  readonly exclusiveMaximum?: unknown;
}

/**
 * The values that a schema takes, in words.
 *
 * @param schema Of one value.
 */
export function allowedText(schema: ValueSchema): string {
  if (Array.isArray(schema.anyOf)) {
    return schema.anyOf.map(allowedText).join(", or ");
  }
  if (Array.isArray(schema.enum)) return schema.enum.join(", or ");
  if (schema.const !== undefined) return String(schema.const);
  switch (schema.type) {
    case "boolean":
      return "true, or false";
    case "array":
      return `list of ${
        typeof schema.items === "object" && schema.items !== null
          ? allowedText(schema.items)
          : "values"
      }`;
    case "integer":
    case "number":
      return `${schema.type === "integer" ? "whole number" : "number"}${
        limits(schema)
      }`;
    default:
      return String(schema.type ?? "any value");
  }
}

/** " >= 1"; zod's limits of safe integers are no limits. */
function limits(schema: ValueSchema): string {
  const signs = [
    [">=", schema.minimum],
    [">", schema.exclusiveMinimum],
    ["<=", schema.maximum],
    ["<", schema.exclusiveMaximum],
  ] as const;
  return signs.flatMap(([sign, value]) =>
    typeof value === "number" && Math.abs(value) < Number.MAX_SAFE_INTEGER
      ? [` ${sign} ${value}`]
      : []
  ).join(" and");
}

/**
 * Checks options and fills in the method's defaults.
 *
 * @param method The method.
 * @param given Options by name.
 * @returns All options.
 * @throws {InputError} If one is unknown, missing or out of range, with what is allowed.
 */
export function parseMethodOptions(
  method: Method,
  given: Readonly<Record<string, unknown>>,
): unknown {
  const names = Object.keys(method.options.shape);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const nearest = nearestName(name, names);
    throw new InputError(
      `Cannot convert with ${name} as method ${method.name} has no such option${
        nearest === undefined ? "" : `; did you mean ${nearest}?`
      } (allowed: ${names.join(", ") || "none"})`,
    );
  }
  const result = method.options.safeParse(given);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const name = String(path[0] ?? "");
  const found = name in given ? JSON.stringify(given[name]) : "missing";
  throw new InputError(
    `Cannot convert with method ${method.name} as option ${name} is ${found}: ${message}`,
  );
}
