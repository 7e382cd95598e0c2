// What a shape of a table must look like before a shader is made of it. A table of
// the user's own is a file that anyone may have edited: sides of no length, or that
// do not divide each other, would give wrong numbers without a word.

import { z } from "zod";
import { InputError } from "../../../base/errors.ts";
import { oneLine } from "../../../base/excerpt.ts";
import type { TuningTable } from "./tuning_table.ts";

const MOST_SIDE = 1024;
const MOST_SPLITS = 4096;

const count = z.int().min(1).max(MOST_SIDE);
const splits = z.int().min(1).max(MOST_SPLITS);
const multipleOf = (step: number) =>
  count.refine((value) => value % step === 0, `must be a multiple of ${step}`);
const powerOfTwo = count.refine(
  (value) => (value & (value - 1)) === 0,
  "must be a power of two",
);

/** Of a form that is not the fastest. */
const noSplits = z.looseObject({ splits: z.literal(0) });

const registers = z.looseObject({
  kind: z.literal("registers"),
  rows: multipleOf(4),
  columns: multipleOf(4),
  depth: multipleOf(4),
  threadRows: count,
  threadColumns: count,
  across: count.optional(),
  chain: multipleOf(4).optional(),
  splits: splits.optional(),
}).refine(
  (
    { rows, columns, depth, threadRows, threadColumns, across = 1, chain = 4 },
  ) =>
    rows % threadRows === 0 && columns % threadColumns === 0 &&
    columns / threadColumns % across === 0 && depth % chain === 0,
  "its sides do not divide",
);

const matrix = z.looseObject({
  kind: z.literal("matrix"),
  rows: multipleOf(16),
  columns: multipleOf(16),
  depth: multipleOf(16),
  subgroupRows: count,
  subgroupColumns: count,
  subgroupDepths: count.optional(),
  buffers: z.literal([1, 2]).optional(),
  ahead: z.int().min(1).max(8).optional(),
  splits: splits.optional(),
});

/** Kernels whose shapes are known; a table may have those of other versions. */
const SHAPES: Readonly<Record<string, z.ZodType>> = {
  gemm: z.discriminatedUnion("kind", [registers, matrix]),
  gemv: z.looseObject({
    subgroups: z.boolean(),
    threads: powerOfTwo,
    rows: z.int().min(1).max(16),
    unroll: z.int().min(1).max(64),
  }),
  gemv_rows: z.looseObject({ rows: z.int().min(0).max(MOST_SIDE) }),
  attention_decode_lanes: z.looseObject({ splits }),
  attention_decode_matrix: z.union([
    noSplits,
    z.looseObject({
      tokens: z.literal([16, 32]),
      buffers: z.literal([1, 2]),
      rowBlocks: z.literal([1, 2]),
      skips: z.boolean(),
      splits,
      chunk: multipleOf(128).optional(),
      valueBlocks: z.int().min(1).max(16).optional(),
    }),
  ]),
  attention_decode_tile: z.union([
    noSplits,
    z.looseObject({
      heads: multipleOf(4),
      rounds: z.int().min(1).max(16),
      buffers: z.literal([1, 2]),
      widened: z.boolean(),
      halves: z.boolean().optional(),
      splits,
    }),
  ]),
  attention_prefill_matrix: z.looseObject({
    subgroups: z.int().min(1).max(32),
    rowBlocks: z.literal([1, 2]),
    keys: multipleOf(16),
  }),
};

/**
 * Checks that shaders can be made of a table's shapes. Whether they fit the device
 * is for their kernels to say.
 *
 * @param path Named in errors.
 * @param table Of checkTuningTable().
 * @throws {InputError} If a shape has no sense, with the file and the field.
 */
export function checkShapes(path: string, { kernels }: TuningTable): void {
  for (const [kernel, shapes] of Object.entries(kernels)) {
    if (!Object.hasOwn(SHAPES, kernel)) continue;
    for (const [key, shape] of Object.entries(shapes)) {
      const result = SHAPES[kernel]!.safeParse(shape);
      if (result.success) continue;
      const { field, message } = faultOf(result.error.issues[0]!);
      const where = ["kernels", kernel, key, ...field].map(String).join(".");
      throw new InputError(
        oneLine(`Cannot use ${path} as ${where} is wrong: ${message}`),
      );
    }
  }
}

/** Of a union: what is wrong with the last, which is the form that is used. */
function faultOf(issue: z.core.$ZodIssue): {
  readonly field: readonly PropertyKey[];
  readonly message: string;
} {
  const inner = issue.code === "invalid_union"
    ? issue.errors.at(-1)?.[0]
    : undefined;
  return inner === undefined
    ? { field: issue.path, message: issue.message }
    : { field: inner.path, message: inner.message };
}
