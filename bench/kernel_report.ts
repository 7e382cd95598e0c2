// What bench/webgpu_kernels.ts keeps of each case, and how it tells it.

import { formatSignificant } from "../src/report/format.ts";
import {
  secondsOf,
  type Timing,
} from "../src/engine/webgpu/kernels/cases/case_timing.ts";

/** A case that was not run, or failed. */
export interface NotDone {
  readonly label: string;
  /** What the device lacks. */
  readonly missing?: string;
  readonly failure?: string;
}

/** A case that was timed, or not. */
export type TimedCase =
  & (NotDone | (Timing & { readonly label: string }))
  & {
    /** Not asked for: a matrix product that the others are held against. */
    readonly yardstick?: true;
  };

/** A parity case: its largest error, and that in units of what is allowed. */
export type CheckedCase = NotDone | {
  readonly label: string;
  readonly excess: number;
  readonly error: number;
};

/** All of a kernel. */
export interface KernelResult {
  readonly name: string;
  readonly parity: CheckedCase[];
  readonly cases: TimedCase[];
}

/** Operations a second of the best matrix product, by element type of its weights. */
export type Peaks = { f16?: number; f32?: number };

/**
 * Raises the peak by a matrix product.
 *
 * @param peaks So far.
 * @param timed A case of gemm.
 */
export function peakOf(peaks: Peaks, timed: TimedCase): void {
  if (!("rowSeconds" in timed)) return;
  const rate = timed.flops / secondsOf(timed);
  const element = elementOf(timed.label);
  peaks[element] = Math.max(peaks[element] ?? 0, rate);
}

/** A line on a timed case. */
export function describeCase(
  name: string,
  timed: TimedCase,
  copyBytesPerSecond: number,
  peaks: Peaks,
): string {
  const title = `${timed.yardstick ? "yardstick " : ""}${name}: ${timed.label}`;
  if (!("rowSeconds" in timed)) return `${title}  ${reasonOf(timed)}`;
  const seconds = secondsOf(timed);
  const parts = [`${title}  ${micros(seconds)} us`];
  if (timed.deviceSeconds !== undefined) {
    parts.push(`in a row ${micros(timed.rowSeconds)}`);
  }
  const bandwidth = timed.bytes / seconds;
  parts.push(
    `${formatSignificant(bandwidth / 1e9)} GB/s (${
      percent(bandwidth / copyBytesPerSecond)
    } of copy)`,
  );
  if (timed.flops > 0) {
    const rate = timed.flops / seconds;
    const peak = timed.yardstick ? undefined : peaks[elementOf(timed.label)];
    parts.push(
      `${formatSignificant(rate / 1e12)} TFLOPS` +
        (peak === undefined ? "" : ` (${percent(rate / peak)} of GEMM)`),
    );
  }
  parts.push(
    `${timed.copies} in ${formatSignificant(timed.rotatedBytes / 1e6)} MB`,
  );
  return parts.join(", ");
}

/** Lines on a kernel's parity: the worst case, and all that were not done. */
export function describeParity({ name, parity }: KernelResult): string {
  const notDone = parity.filter((one): one is NotDone => !("excess" in one));
  const done = parity.filter((one) => "excess" in one);
  const worst = done.toSorted((a, b) => b.excess - a.excess)[0];
  const lines = [
    `${name}: ${done.length} of ${parity.length} parity cases hold` +
    (worst === undefined
      ? ""
      : `, worst error ${worst.error.toPrecision(2)} = ${
        percent(worst.excess)
      } of what is allowed (${worst.label})`),
  ];
  for (const one of notDone) lines.push(`  ${one.label}  ${reasonOf(one)}`);
  return lines.join("\n");
}

function elementOf(label: string): "f16" | "f32" {
  return /\bf16\b/.test(label) ? "f16" : "f32";
}

function reasonOf({ missing, failure }: NotDone): string {
  return missing === undefined ? `FAILED: ${failure}` : `needs ${missing}`;
}

function micros(seconds: number): string {
  return (seconds * 1e6).toFixed(1);
}

function percent(fraction: number): string {
  const value = fraction * 100;
  return `${value < 10 ? formatSignificant(value, 2) : value.toFixed(0)} %`;
}
