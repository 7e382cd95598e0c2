// What a kernel is checked and timed on: inputs, the f64 answer, and the work it
// takes at least. Parity tests, benches and `deno task bench kernels` walk these.

import type { Arena, Dispatch, Gpu } from "../../device/gpu.ts";

/** Seeded numbers for inputs. */
export interface CaseRandom {
  /** Standard normal numbers. */
  normal(length: number, std?: number): Float32Array;
  /** Integers in [0, below). */
  integers(length: number, below: number): Uint32Array;
}

/** A buffer that a case's dispatches write. */
export interface CaseOutput {
  readonly name: string;
  readonly buffer: GPUBuffer;
  readonly element: "f32" | "f16" | "u32";
  /** f64 answer, one a number of the buffer from its start; NaN where the kernel must not write: there the poison has to stay. */
  readonly expected: Float64Array;
  readonly atol: number;
  readonly rtol: number;
}

/** A case on a device. */
export interface PreparedCase {
  readonly dispatches: readonly Dispatch[];
  /** Filled with poison before the dispatches run, unless `keep` (in-place kernels). */
  readonly outputs: readonly (CaseOutput & { readonly keep?: boolean })[];
}

/** One shape of one kernel. */
export interface KernelCase {
  /** Shape in words: "T 33, H 9, d 64, f16". */
  readonly label: string;
  /** Features without which the case cannot run. */
  readonly needs?: readonly ("f16" | "subgroups" | "subgroupMatrix")[];
  /** Whether to run it on this device beyond `needs`: its subgroup size, its workgroup memory. @default true */
  fits?(gpu: Gpu): boolean;
  prepare(arena: Arena, random: CaseRandom): PreparedCase;
}

/** A kernel in the table. */
export interface KernelEntry {
  /** As in its file names. */
  readonly name: string;
  /** Small, odd sizes: every entry of the outputs is compared. */
  readonly parity: readonly KernelCase[];
  /** Real sizes, for timing; outputs may be left empty, inputs may be zeros. */
  readonly bench: readonly KernelCase[];
}
