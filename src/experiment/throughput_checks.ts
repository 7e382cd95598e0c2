// What fields of measure.throughput say of each other.

import { parseByteSize } from "./byte_size.ts";
import { type Located, place } from "./locate.ts";
import type { ExperimentFile } from "./schema.ts";

const PATH = ["measure", "throughput"] as const;

/**
 * Checks the loads and the workload of a file.
 *
 * @param parsed The file, of the right schema.
 * @param at For the places.
 * @returns One line a problem.
 */
export function throughputProblems(
  { measure: { throughput } }: ExperimentFile,
  at: Located,
): string[] {
  if (throughput === undefined) return [];
  const { batch, memoryBudget, workload, requests } = throughput;
  const problems = [
    ...repeated("batch", batch, String, at),
    ...repeated(
      "memoryBudget",
      memoryBudget,
      (size) => String(parseByteSize(size)),
      at,
    ),
  ];
  if (requests !== undefined && workload !== "requests") {
    problems.push(
      `${
        place(at, [...PATH, "requests"], true)
      }measure.throughput.requests: found with workload ${
        workload ?? "decode"
      }; allowed: only with workload: requests`,
    );
  }
  return problems;
}

/** Equal loads would be one cell twice. */
function repeated<T>(
  field: string,
  value: T | readonly T[] | undefined,
  key: (entry: T) => string,
  at: Located,
): string[] {
  if (!Array.isArray(value)) return [];
  const keys = (value as readonly T[]).map(key);
  return keys.flatMap((own, i) =>
    keys.indexOf(own) === i ? [] : [
      `${
        place(at, [...PATH, field, i])
      }measure.throughput.${field}[${i}]: found ${
        value[i]
      } again; allowed: each once`,
    ]
  );
}
