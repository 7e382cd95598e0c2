// Runs a kernel's case on a device and compares every number of its outputs with
// the f64 answer.

import type { Gpu } from "../../device/gpu.ts";
import type {
  CaseOutput,
  CaseRandom,
  KernelCase,
  PreparedCase,
} from "./kernel_case.ts";

/** How an output compares with its answer. */
export interface OutputReport {
  readonly name: string;
  /** Numbers compared. */
  readonly compared: number;
  /** Numbers that differ by more than allowed, or that should not have been written. */
  readonly failures: number;
  /** Index of the number with the largest error in units of what is allowed; -1 where there is none. */
  readonly worstIndex: number;
  readonly actual: number;
  readonly expected: number;
  /** Largest |actual - expected|. */
  readonly error: number;
  /** Largest |actual - expected| / (atol + rtol·|expected|); at most 1 passes. */
  readonly excess: number;
}

/** What runCase() found. */
export interface CaseReport {
  readonly label: string;
  readonly passed: boolean;
  readonly outputs: readonly OutputReport[];
  /** "" where it passed. */
  readonly message: string;
}

/** Bits that no kernel writes: NaN with a payload, and a count far out of range. */
const POISON = { f32: 0x7fc0dead, f16: 0x7e5a, u32: 0xdeadbeef } as const;

/**
 * What a case needs and a device lacks.
 *
 * @param gpu The device.
 * @param kernelCase The case.
 * @returns Names of features, or "fits" where the case itself declines; empty where it can run.
 */
export function missingNeeds(gpu: Gpu, kernelCase: KernelCase): string[] {
  const missing: string[] = (kernelCase.needs ?? []).filter((need) =>
    !gpu.features[need]
  );
  if (missing.length > 0) return missing;
  return kernelCase.fits?.(gpu) ?? true ? [] : ["fits"];
}

/**
 * Runs a case and compares its outputs.
 *
 * @param gpu The device.
 * @param kernelCase The case; the device has what it needs.
 * @param seed Of its inputs. @default 1
 * @returns How the outputs compare.
 * @throws {GpuError} If the device reports a fault.
 * @throws {RangeError} If the case has nothing to compare.
 */
export async function runCase(
  gpu: Gpu,
  kernelCase: KernelCase,
  seed = 1,
): Promise<CaseReport> {
  const arena = gpu.arena();
  try {
    const prepared = kernelCase.prepare(arena, caseRandom(seed));
    if (prepared.outputs.every(({ expected }) => expected.length === 0)) {
      throw new RangeError(
        `Cannot check ${kernelCase.label} as it expects no output`,
      );
    }
    const before = await poison(gpu, prepared);
    gpu.run(prepared.dispatches);
    await gpu.settle();
    const outputs: OutputReport[] = [];
    for (const [i, output] of prepared.outputs.entries()) {
      const bits = bitsOf(output, await readOutput(gpu, output));
      outputs.push(compare(output, bits, before[i]!));
    }
    const message = outputs.filter(({ failures }) => failures > 0)
      .map(describe).join("; ");
    const { label } = kernelCase;
    return { label, passed: message === "", outputs, message };
  } finally {
    arena.destroy();
  }
}

/** Fills outputs with poison; returns the bits that unwritten numbers must keep. */
async function poison(
  gpu: Gpu,
  { outputs }: PreparedCase,
): Promise<(Uint32Array | Uint16Array)[]> {
  const before = [];
  for (const output of outputs) {
    if (!output.keep) {
      const bits = POISON[output.element];
      const word = output.element === "f16" ? bits | bits << 16 : bits;
      const words = new Uint32Array(Math.ceil(output.buffer.size / 4));
      gpu.write(output.buffer, 0, words.fill(word));
    }
    before.push(bitsOf(output, await readOutput(gpu, output)));
  }
  return before;
}

function readOutput(gpu: Gpu, output: CaseOutput): Promise<ArrayBuffer> {
  const bytes = output.expected.length * (output.element === "f16" ? 2 : 4);
  return gpu.read(output.buffer, 0, Math.ceil(bytes / 4) * 4);
}

function bitsOf(
  { element }: CaseOutput,
  bytes: ArrayBuffer,
): Uint32Array | Uint16Array {
  return element === "f16" ? new Uint16Array(bytes) : new Uint32Array(bytes);
}

function compare(
  output: CaseOutput,
  bits: Uint32Array | Uint16Array,
  before: Uint32Array | Uint16Array,
): OutputReport {
  const { name, element, expected, atol, rtol } = output;
  const values = element === "u32"
    ? bits
    : element === "f16"
    ? new Float16Array(bits.buffer)
    : new Float32Array(bits.buffer);
  let failures = 0;
  let worstIndex = -1;
  let largest = 0;
  let excess = 0;
  for (const [i, wanted] of expected.entries()) {
    const value = values[i]!;
    let error = Math.abs(value - wanted);
    // An infinite answer must not widen its own tolerance.
    const size = Number.isFinite(wanted) ? Math.abs(wanted) : 0;
    let ratio = error / (atol + rtol * size);
    if (Number.isNaN(wanted)) {
      ratio = error = bits[i] === before[i] ? 0 : Infinity;
    } else if (Number.isNaN(value)) ratio = error = Infinity;
    else if (value === wanted) ratio = error = 0;
    if (!(ratio <= 1)) failures++;
    if (error > largest) largest = error;
    if (worstIndex < 0 || ratio > excess) {
      worstIndex = i;
      excess = ratio;
    }
  }
  return {
    name,
    compared: expected.length,
    failures,
    worstIndex,
    actual: values[worstIndex] ?? NaN,
    expected: expected[worstIndex] ?? NaN,
    error: largest,
    excess,
  };
}

function describe(report: OutputReport): string {
  const { name, compared, failures, worstIndex, actual, expected } = report;
  const wanted = Number.isNaN(expected)
    ? "must not be written"
    : `expected ${expected}`;
  return `${name}: ${failures} of ${compared} numbers differ; worst at index ${worstIndex}: ` +
    `actual ${actual}, ${wanted}; ${
      report.excess.toPrecision(3)
    } times what is allowed`;
}

/**
 * Makes numbers for inputs.
 *
 * @param seed An integer; equal seeds give equal numbers.
 * @returns The source.
 */
export function caseRandom(seed: number): CaseRandom {
  // Mulberry32: a few operations a number, and good enough for test inputs.
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    normal: (length, std = 1) =>
      Float32Array.from({ length }, () => {
        const radius = Math.sqrt(-2 * Math.log(1 - next()));
        return std * radius * Math.cos(2 * Math.PI * next());
      }),
    integers: (length, below) =>
      Uint32Array.from({ length }, () => Math.floor(next() * below)),
  };
}
