// What fields of measure.throughput say of each other.

import { InputError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
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
  { measure: { contexts: shared, throughput } }: ExperimentFile,
  at: Located,
): string[] {
  if (throughput === undefined) return [];
  const { batch, memoryBudget, workload, requests } = throughput;
  const sizes = wrongSizes(memoryBudget, at);
  const problems = [
    ...repeated("batch", batch, String, at),
    ...sizes,
    ...sizes.length > 0 ? [] : repeated(
      "memoryBudget",
      memoryBudget,
      (size) => String(parseByteSize(size)),
      at,
    ),
    ...foreignContexts(requests, throughput.contexts ?? shared ?? [], at),
  ];
  if (
    throughput.memoryUtilization !== undefined && memoryBudget === undefined &&
    ![batch].flat().includes("auto")
  ) {
    problems.push(
      `${
        place(at, [...PATH, "memoryUtilization"], true)
      }measure.throughput.memoryUtilization: found without memoryBudget and with batch ${
        [batch].flat().join(", ")
      }; allowed: with memoryBudget, or with batch: auto`,
    );
  }
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

/** A budget of nothing holds no model, and one without end is no number in a record. */
function wrongSizes(
  sizes: string | readonly string[] | undefined,
  at: Located,
): string[] {
  return (sizes === undefined ? [] : [sizes].flat()).flatMap((size, i) => {
    try {
      parseByteSize(size);
      return [];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const step = typeof sizes === "string" ? [] : [i];
      const name = typeof sizes === "string" ? "" : `[${i}]`;
      return [
        `${
          place(at, [...PATH, "memoryBudget", ...step])
        }measure.throughput.memoryBudget${name}: found ${
          excerpt(size)
        }; allowed: 1 B to 8191 TiB`,
      ];
    }
  });
}

/** A count for a context that is not measured would pass unseen. */
function foreignContexts(
  requests: NonNullable<
    ExperimentFile["measure"]["throughput"]
  >["requests"],
  contexts: readonly number[],
  at: Located,
): string[] {
  return Object.keys(requests?.countAt ?? {}).flatMap((context) =>
    contexts.some((one) => String(one) === context) ? [] : [
      `${
        place(at, [...PATH, "requests", "countAt", context], true)
      }measure.throughput.requests.countAt: found ${
        excerpt(context)
      }; allowed: contexts of the measure: ${contexts.join(", ")}`,
    ]
  );
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
