// What `deno task tune` says of sizes and shapes.

import type { Gpu } from "../engine/webgpu/device/gpu.ts";
import type { TunedShape } from "../engine/webgpu/kernels/tuning_table.ts";
import type { SolvedProblem } from "../engine/webgpu/tuning/suspects.ts";
import type { TuningProblem } from "../engine/webgpu/tuning/tuning_problem.ts";

/**
 * Lines on a tuned size: its best shape, and each that was refused.
 *
 * @param solved What was found.
 * @param copyBytesPerSecond What a copy reaches.
 */
export function describeSolved(
  { problem, solution }: SolvedProblem,
  copyBytesPerSecond: number,
): string {
  const { seconds, defaultSeconds, shape, timed, calm, refused } = solution;
  const bandwidth = problem.bytes / seconds;
  const parts = [
    `${(1e6 * seconds).toFixed(1)} us`,
    `${percent(bandwidth / copyBytesPerSecond)} of copy`,
    `${(problem.flops / seconds / 1e12).toPrecision(3)} TFLOPS`,
    `${(defaultSeconds / seconds).toFixed(2)}x the default`,
    `${timed} timed${calm ? "" : ", device busy"}`,
  ];
  return [
    `${problem.kernel} ${problem.key}  ${parts.join(", ")}: ${
      describeShape(shape)
    }`,
    ...refused.map((one) =>
      `  refused ${describeShape(one.shape)}: ${one.reason}`
    ),
  ].join("\n");
}

/**
 * All shapes that would be timed.
 *
 * @param gpu The device.
 * @param problems The sizes.
 * @param json As JSON.
 */
export function describeCandidates(
  gpu: Gpu,
  problems: readonly TuningProblem[],
  json: boolean,
): string {
  const sizes = problems.map((problem) => ({
    kernel: problem.kernel,
    key: problem.key,
    share: problem.share,
    shapes: problem.shapes(gpu),
  }));
  if (json) return JSON.stringify(sizes, null, 1);
  const count = sizes.reduce((sum, { shapes }) => sum + shapes.length, 0);
  return [
    `${sizes.length} sizes, ${count} shapes`,
    ...sizes.flatMap(({ kernel, key, share, shapes }) => [
      `${kernel} ${key}  ${shapes.length} shapes, worth ${
        share.toFixed(2)
      } steps`,
      ...shapes.map((shape) => `  ${describeShape(shape)}`),
    ]),
  ].join("\n");
}

function describeShape(shape: TunedShape): string {
  return Object.entries(shape).map(([name, value]) =>
    typeof value === "string"
      ? value
      : typeof value === "boolean"
      ? value ? name : `no ${name}`
      : `${value} ${name}`
  ).join(", ");
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(0)} %`;
}
