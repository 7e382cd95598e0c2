// Solved sizes that are to be measured again, and what all sizes together say: from
// how many rows on matrices multiply faster.

import { MOST_GEMV_ROWS } from "../kernels/gemv_tuning.ts";
import { rowsClass } from "../kernels/tuning_keys.ts";
import type { Solution } from "./solve.ts";
import type { TuningProblem } from "./tuning_problem.ts";

/** A size with the shape that was found. */
export interface SolvedProblem {
  readonly problem: TuningProblem;
  readonly solution: Solution;
}

/** Slower than its kin by more than this, as a share of what the device can do, is doubtful. */
const DOUBTFUL = 1.25;

/** Of a dispatch, however small. */
const START_SECONDS = 4e-6;

/** Of a small dispatch between others. */
const AROUND_SECONDS = 3e-6;

/**
 * Sizes that were measured on a busy device, or are much slower than their kin.
 *
 * @param solved All sizes.
 * @param copyBytesPerSecond What a copy reaches.
 * @returns The most valuable first.
 */
export function suspects(
  solved: readonly SolvedProblem[],
  copyBytesPerSecond: number,
): SolvedProblem[] {
  const families = Map.groupBy(solved, ({ problem }) => problem.family);
  const doubtful = [...families.values()].flatMap((family) => {
    const flopsPerSecond = Math.max(
      ...family.map(({ problem, solution }) =>
        problem.flops / solution.seconds
      ),
    );
    const excess = ({ problem, solution }: SolvedProblem) =>
      solution.seconds /
      (START_SECONDS + Math.max(
        problem.bytes / copyBytesPerSecond,
        problem.flops / flopsPerSecond,
      ));
    const kins = Map.groupBy(family, ({ problem }) => problem.kin);
    return [...kins.values()].flatMap((kin) => {
      const usual = lowerMedian(kin.map(excess));
      return kin.filter((one) =>
        !one.solution.calm || excess(one) > DOUBTFUL * usual
      );
    });
  });
  return doubtful.sort((a, b) => b.problem.share - a.problem.share);
}

/**
 * Which of two measurements of a size counts.
 *
 * @param first The first.
 * @param second The second.
 */
export function betterOf(first: Solution, second: Solution): Solution {
  if (first.calm !== second.calm) return first.calm ? first : second;
  return first.seconds <= second.seconds ? first : second;
}

/**
 * Rows up to which all products of the steps together take less time by gemv().
 *
 * @param solved All sizes.
 * @returns By element type; none where too few rows were timed to tell.
 */
export function rowsWorthGemv(
  solved: readonly SolvedProblem[],
): Record<string, { rows: number }> {
  const products = solved.filter(({ problem }) =>
    problem.product !== undefined
  );
  const elements = Map.groupBy(
    products,
    ({ problem }) => problem.product!.element,
  );
  const found: Record<string, { rows: number }> = {};
  for (const [element, sizes] of elements) {
    const counts = sizes.filter(({ problem }) => problem.family === "gemv")
      .map(({ problem }) => problem.product!.rows);
    let most = 1;
    let end: number | undefined;
    for (const rows of [...new Set(counts)].sort((a, b) => a - b)) {
      const gain = gainByGemv(sizes, rows);
      if (gain === undefined) continue;
      if (gain < 0) {
        end = most;
        break;
      }
      most = rows;
    }
    // Nobody asked where matrices would win.
    if (end === undefined && most === MOST_GEMV_ROWS) end = most;
    if (end !== undefined) found[element] = { rows: end };
  }
  return found;
}

/** Seconds of a step that gemv() saves; undefined where no product was timed both ways. */
function gainByGemv(
  sizes: readonly SolvedProblem[],
  rows: number,
): number | undefined {
  let gain: number | undefined;
  for (const { problem: { family, product }, solution } of sizes) {
    if (family !== "gemv" || product!.rows !== rows) continue;
    const other = sizes.find(({ problem }) =>
      problem.family === "gemm" &&
      problem.product!.height === product!.height &&
      problem.product!.width === product!.width &&
      rowsClass(problem.product!.rows) === rowsClass(rows)
    );
    if (other === undefined) continue;
    const around = product!.around * AROUND_SECONDS;
    const saved = other.solution.seconds + around - solution.seconds;
    gain = (gain ?? 0) + product!.times * saved;
  }
  return gain;
}

function lowerMedian(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
