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
  readonly meaning: string;
}

/** The options of a method, in the order of its schema. */
export function methodOptions(method: Method): MethodOption[] {
  const defaults = defaultOptions(method);
  return Object.entries(method.options.shape).map(([name, schema]) => ({
    name,
    ...(name in defaults ? { fallback: defaults[name] } : {}),
    meaning: z.globalRegistry.get(schema as z.ZodType)?.description ??
      (schema as z.ZodType).description ?? "",
  }));
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
