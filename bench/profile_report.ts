// What bench/webgpu_profile.ts finds, as tables for people.

import { formatTable } from "../src/cli/terminal.ts";
import type { KernelTime } from "../src/engine/engine.ts";
import type { AdapterFacts } from "../src/engine/webgpu/device/gpu.ts";
import { formatSignificant } from "../src/report/format.ts";

/** A pass by the clock on the wall, and whole and by kernel on the device's. */
export interface PassProfile {
  /** A decode step with `tokens` in the cache of each sequence, or scoring as many. */
  readonly kind: "decode" | "score";
  readonly batch: number;
  readonly tokens: number;
  /** Of a whole pass, many of them in a row. */
  readonly wallSeconds: number;
  /** Of a whole pass, on the device's clock. */
  readonly deviceSeconds: number;
  /** The longest first; the dispatches of each in a row. */
  readonly kernels: readonly KernelTime[];
}

/** All of a run. */
export interface Profile {
  readonly adapter: AdapterFacts;
  readonly model: string;
  readonly dtype: string;
  readonly cacheDtype: string;
  /** Tables of tuned shapes in use. */
  readonly tuning?: string;
  readonly copyBytesPerSecond: number;
  readonly passes: readonly PassProfile[];
  /** Present where there are any. */
  readonly failed?: readonly FailedPass[];
}

/** A pass that could not be timed. */
export interface FailedPass
  extends Pick<PassProfile, "kind" | "batch" | "tokens"> {
  readonly error: string;
}

/** The profile as text: a table for each pass. */
export function describeProfile(profile: Profile): string {
  const { adapter, passes, copyBytesPerSecond } = profile;
  return [
    `${profile.model}, weights in ${profile.dtype}, cache in ${profile.cacheDtype}`,
    `${adapter.provider}: ${adapter.name}, a copy moves ${
      formatSignificant(copyBytesPerSecond / 1e9)
    } GB/s, shapes: ${profile.tuning ?? "defaults"}`,
    ...passes.flatMap((pass) => ["", describePass(pass, copyBytesPerSecond)]),
    ...(profile.failed ?? []).flatMap(({ kind, batch, tokens, error }) => [
      "",
      `${
        kind === "decode" ? "Decoding" : "Scoring"
      } ${batch} x ${tokens} tokens FAILED: ${error}`,
    ]),
  ].join("\n");
}

function describePass(pass: PassProfile, copy: number): string {
  const { wallSeconds, deviceSeconds, kernels } = pass;
  const sum = (of: (kernel: KernelTime) => number) =>
    kernels.reduce((total, kernel) => total + of(kernel), 0);
  const seconds = sum((kernel) => kernel.seconds);
  const dispatches = sum((kernel) => kernel.dispatches);
  const limit = sum(({ bytes }) => bytes) / copy;
  const gap = (deviceSeconds - seconds) / dispatches;
  return [
    titleOf(pass),
    `  on the wall ${ms(wallSeconds)} ms, on the device ${
      ms(deviceSeconds)
    } ms; its ${dispatches} dispatches by kernel ${ms(seconds)} ms: ${
      (1e6 * gap).toFixed(1)
    } us of gap each`,
    `  the bytes alone ${ms(limit)} ms: ${
      percent(limit / wallSeconds)
    } of that limit, ${percent(limit / deviceSeconds)} on the device`,
    formatTable(
      [
        "kernel",
        "dispatches",
        "ms",
        "share",
        "MB",
        "GB/s",
        "of copy",
        "GFLOP",
        "TFLOPS",
      ],
      kernels.map((kernel) => [
        kernel.name,
        String(kernel.dispatches),
        ms(kernel.seconds),
        percent(kernel.seconds / seconds),
        amount(kernel.bytes / 1e6),
        amount(kernel.bytes / kernel.seconds / 1e9),
        percent(kernel.bytes / kernel.seconds / copy),
        amount(kernel.flops / 1e9),
        amount(kernel.flops / kernel.seconds / 1e12),
      ]),
    ),
  ].join("\n");
}

function titleOf({ kind, batch, tokens, wallSeconds }: PassProfile): string {
  const rate = (perPass: number) =>
    `${formatSignificant(perPass / wallSeconds)} tokens/s`;
  return kind === "decode"
    ? `A decode step of batch ${batch} after ${tokens} tokens: ${rate(batch)}`
    : `Scoring ${batch} x ${tokens} tokens: ${rate(batch * tokens)}`;
}

function ms(seconds: number): string {
  return formatSignificant(1000 * seconds);
}

function percent(fraction: number): string {
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(1)} %` : "–";
}

/** A kernel may compute nothing, or take no time that the clock shows. */
function amount(value: number): string {
  return value > 0 && Number.isFinite(value) ? formatSignificant(value) : "–";
}
