// The table of conversion methods: adding one means its file and a line here.

import { InputError } from "../../base/errors.ts";
import { nearestName } from "../../text/nearest_name.ts";
import type { Method } from "../method.ts";
import { mlaShape } from "./mla_shape.ts";
import { original } from "./original.ts";
import { partialRope } from "./partial_rope.ts";
import { transmla } from "./transmla.ts";

/** All methods, in the order in which they are listed. */
export const METHODS: readonly Method[] = [
  original,
  partialRope,
  transmla,
  mlaShape,
];

/**
 * Finds a method.
 *
 * @param name As in an experiment file: "transmla".
 * @returns The method.
 * @throws {InputError} If there is none of that name; suggests the nearest.
 */
export function methodByName(name: string): Method {
  const method = METHODS.find((method) => method.name === name);
  if (method !== undefined) return method;
  const names = METHODS.map((method) => method.name);
  const near = nearestName(name, names);
  throw new InputError(
    `Unknown method "${name}"${
      near === undefined ? "" : ` (did you mean "${near}"?)`
    }: it must be one of ${names.join(", ")}`,
  );
}
