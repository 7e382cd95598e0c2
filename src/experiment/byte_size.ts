// Sizes as people write and read them.

import { InputError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/**
 * "24GiB" in bytes.
 *
 * @param text A number and a unit.
 * @throws {InputError} If it is not one, less than a byte, or more than can be counted.
 */
export function parseByteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([KMGT]?i?B)$/.exec(text);
  const unit = match === null ? undefined : UNITS[match[2]!];
  if (match === null || unit === undefined) {
    throw new InputError(
      `Cannot read size ${excerpt(text)}: allowed are a number and one of ${
        Object.keys(UNITS).join(", ")
      }`,
    );
  }
  const bytes = Math.round(Number(match[1]) * unit);
  if (bytes < 1 || !Number.isSafeInteger(bytes)) {
    throw new InputError(
      `Cannot use size ${excerpt(text)}: allowed are 1 B to 8191 TiB`,
    );
  }
  return bytes;
}

/** Bytes with a binary unit, three digits: "1.41 GiB". */
export function formatByteSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    if (bytes >= UNITS[unit]!) {
      const value = bytes / UNITS[unit]!;
      const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
      return `${value.toFixed(digits)} ${unit}`;
    }
  }
  return `${Math.round(bytes)} B`;
}
