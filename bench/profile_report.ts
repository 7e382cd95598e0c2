// What bench/webgpu_profile.ts finds, as tables for people.

import { formatTable } from "../src/cli/terminal.ts";
import type { AdapterFacts } from "../src/engine/webgpu/device/gpu.ts";
import { formatSignificant } from "../src/report/format.ts";

/** One kernel's share of a pass. */
export interface Share {
  readonly kernel: string;
  readonly dispatches: number;
  readonly ms: number;
  readonly gigabytesPerSecond: number;
  readonly tflops: number;
}

/** A pass by the clock on the wall, on the device's, and by kernel. */
export interface PassProfile {
  readonly wallMs: number;
  readonly deviceMs: number;
  /** The longest first. */
  readonly kernels: readonly Share[];
}

/** All of a run. */
export interface Profile {
  readonly adapter: AdapterFacts;
  readonly model: string;
  readonly dtype: string;
  readonly cacheDtype: string;
  readonly copyGigabytesPerSecond: number;
  readonly score: PassProfile & {
    readonly window: number;
    readonly windows: number;
  };
  readonly decode: PassProfile & {
    readonly context: number;
    readonly batch: number;
  };
}

/** The profile as text: a table for each pass. */
export function describeProfile(profile: Profile): string {
  const { adapter, score, decode } = profile;
  return [
    `${profile.model}, weights in ${profile.dtype}, cache in ${profile.cacheDtype}`,
    `${adapter.provider}: ${adapter.name}, a copy moves ${
      formatSignificant(profile.copyGigabytesPerSecond)
    } GB/s`,
    "",
    describePass(
      `Scoring ${score.windows} x ${score.window} tokens`,
      score,
    ),
    "",
    describePass(
      `A decode step of batch ${decode.batch} after ${decode.context} tokens`,
      decode,
    ),
  ].join("\n");
}

function describePass(title: string, pass: PassProfile): string {
  const { wallMs, deviceMs, kernels } = pass;
  return [
    `${title}: ${formatSignificant(wallMs)} ms, of which kernels one by one ${
      formatSignificant(deviceMs)
    } ms`,
    formatTable(
      ["kernel", "dispatches", "ms", "share", "GB/s", "TFLOPS"],
      kernels.map((share) => [
        share.kernel,
        String(share.dispatches),
        formatSignificant(share.ms),
        `${(100 * share.ms / deviceMs).toFixed(1)} %`,
        rate(share.gigabytesPerSecond),
        rate(share.tflops),
      ]),
    ),
  ].join("\n");
}

/** A kernel may compute nothing, or take no time that the clock shows. */
function rate(value: number): string {
  return value > 0 && Number.isFinite(value) ? formatSignificant(value) : "–";
}
