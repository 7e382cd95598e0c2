// Cases of attentionMerge().

import type { Arena, Dispatch } from "../../device/gpu.ts";
import { attentionMerge, type AttentionMergeArgs } from "../attention_merge.ts";
import { type MatrixTile, tileName } from "../gemm_tile.ts";
import { fitsProduct } from "../latent_product.ts";
import { valueTiles } from "../latent_product_tuning.ts";
import { MERGE_BENCH } from "./attention_merge_bench_cases.ts";
import { caseRows, zeroRows } from "./case_rows.ts";
import { type Element, padded } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

/** Sizes of a case. */
export interface MergeShape {
  readonly label: string;
  readonly batch: number;
  readonly heads: number;
  readonly splits: number;
  readonly width: number;
  /** Parts are means, f16. */
  readonly means?: boolean;
  /** @default "f32" */
  readonly outElement?: Element;
  readonly up?: {
    readonly groups: number;
    readonly value: number;
    readonly firstRow: number;
    readonly rowsAfter: number;
    readonly element: Element;
  };
  /** By subgroup matrices: x is rounded to halves. */
  readonly tile?: MatrixTile;
}

/** Makes the dispatches under test. */
export type Merge = (arena: Arena, args: AttentionMergeArgs) => Dispatch[];

const UP = {
  groups: 3,
  value: 5,
  firstRow: 4,
  rowsAfter: 1,
  element: "f32" as const,
};

const PARITY: readonly MergeShape[] = [
  { label: "width 5, 3 splits", batch: 2, heads: 3, splits: 3, width: 5 },
  { label: "width 8, 1 split", batch: 1, heads: 2, splits: 1, width: 8 },
  { label: "width 72, 37 splits", batch: 1, heads: 2, splits: 37, width: 72 },
  {
    label: "up, width 7, G = H",
    batch: 3,
    heads: 3,
    splits: 2,
    width: 7,
    up: UP,
  },
  {
    label: "up, width 24, G < H, 9 sequences",
    batch: 9,
    heads: 6,
    splits: 4,
    width: 24,
    up: { ...UP, value: 11 },
  },
  {
    label: "up f16, width 40, 17 sequences, 1 split",
    batch: 17,
    heads: 3,
    splits: 1,
    width: 40,
    up: { ...UP, element: "f16" },
  },
  {
    label: "means, width 72, 37 splits, f16 out",
    batch: 2,
    heads: 2,
    splits: 37,
    width: 72,
    means: true,
    outElement: "f16",
  },
  {
    label: "means, width 6",
    batch: 1,
    heads: 2,
    splits: 3,
    width: 6,
    means: true,
  },
  {
    label: "means, up f16, width 40, 9 sequences, f16 out",
    batch: 9,
    heads: 3,
    splits: 4,
    width: 40,
    means: true,
    outElement: "f16",
    up: { ...UP, element: "f16" },
  },
  {
    label: "up f16, width 13",
    batch: 1,
    heads: 3,
    splits: 19,
    width: 13,
    up: { ...UP, element: "f16" },
  },
];

/**
 * A case of random numbers.
 *
 * @param shape Sizes.
 * @param merge Makes the dispatches under test; its device's features are then up to the caller. @default attentionMerge
 */
export function mergeCase(shape: MergeShape, merge?: Merge): KernelCase {
  const { tile, up, splits, width, means = false } = shape;
  const prepared = (arena: Arena, random: CaseRandom) =>
    prepare(shape, arena, random, merge ?? attentionMerge);
  if (tile === undefined || up === undefined) {
    return {
      label: shape.label,
      ...(usesHalves(shape) ? { needs: ["f16"] } : {}),
      prepare: prepared,
    };
  }
  return {
    label: `matrix, ${shape.label}, ${tileName(tile)}`,
    needs: merge === undefined
      ? ["f16", "subgroups", "subgroupMatrix"]
      : ["f16"],
    ...(merge === undefined
      ? {
        fits: (gpu) =>
          fitsProduct(gpu, tile, { keys: false, k: width, splits, means }),
      }
      : {}),
    prepare: prepared,
  };
}

function usesHalves({ up, means, outElement }: MergeShape): boolean {
  return up?.element === "f16" || means === true || outElement === "f16";
}

function prepare(
  shape: MergeShape,
  arena: Arena,
  random: CaseRandom,
  merge: Merge,
) {
  const { batch, heads, splits, width, up, means = false } = shape;
  const { outElement = "f32" } = shape;
  const parts = batch * heads * splits;
  // Every third split is empty, never all of them.
  const isEmpty = (part: number) => part % splits % 3 === 1;
  const partial = caseRows(arena, random, {
    rows: parts,
    width,
    poisoned: isEmpty,
    element: means ? "f16" : "f32",
  });
  const tops = random.normal(parts, 9);
  const sums = random.normal(parts).map((z) => Math.exp(z));
  const stats = new Float32Array(2 * parts);
  for (let part = 0; part < parts; part++) {
    stats[2 * part] = isEmpty(part) ? -3e38 : tops[part]!;
    stats[2 * part + 1] = isEmpty(part) ? 0 : sums[part]!;
  }
  const groups = up?.groups ?? 1;
  const rowsPerGroup = up === undefined
    ? 1
    : up.firstRow + up.value + up.rowsAfter;
  const weight = caseRows(arena, random, {
    rows: groups * rowsPerGroup,
    width,
    stride: padded(width),
    element: up?.element ?? "f32",
  });
  const value = up?.value ?? width;
  const stride = padded(heads * value);
  const out = zeroRows(arena, {
    rows: batch,
    width: heads * value,
    stride,
    element: outElement,
  });
  const expected = new Float64Array(batch * stride).fill(NaN);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const mixed = mergedRow(
        partial.data,
        stats,
        (b * heads + h) * splits,
        splits,
        width,
        means,
      );
      const upRow = Math.floor(h * groups / heads) * rowsPerGroup +
        (up?.firstRow ?? 0);
      for (let i = 0; i < value; i++) {
        expected[b * stride + h * value + i] = up === undefined
          ? mixed[i]!
          : mixed.map((x) => shape.tile === undefined ? x : Math.f16round(x))
            .reduce((sum, x, j) => sum + x * weight.at(upRow + i, j), 0);
      }
    }
  }
  const dispatches = merge(arena, {
    partial: partial.view.buffer,
    stats: arena.upload("stats", stats),
    batch,
    heads,
    splits,
    width,
    means,
    ...(up === undefined ? {} : {
      up: {
        weight: weight.view,
        groups,
        firstRow: up.firstRow,
        rowsPerGroup,
        value,
      },
    }),
    out,
    // Never what the device would choose: each form has its own tolerance.
    tile: shape.tile ?? false,
  });
  return {
    dispatches,
    outputs: [{
      name: "out",
      buffer: out.buffer,
      element: outElement,
      expected,
      // Sums in f32 may round to the next half: as far as numbers differ at random.
      atol: shape.tile === undefined ? 1e-5 : 1e-3 + 2e-4 * Math.sqrt(width),
      // A half has 11 bits.
      rtol: outElement === "f16" ? 6e-4 : 5e-6,
    }],
  };
}

/** The widths of a real model, whatever the tile. */
function realShape(
  batch: number,
  splits: number,
  tile: MatrixTile,
  means: boolean,
): MergeShape {
  return {
    label: `batch ${batch}, ${splits} splits of ${means ? "means" : "sums"}`,
    batch,
    heads: 4,
    splits,
    width: 512,
    means,
    outElement: "f16",
    up: { groups: 4, value: 128, firstRow: 3, rowsAfter: 2, element: "f16" },
    tile,
  };
}

const MATRIX: readonly MergeShape[] =
  ([[9, 1], [9, 14], [30, 4], [61, 2], [140, 1]] as const).flatMap(
    ([batch, splits]) =>
      valueTiles(batch).map((tile) => realShape(batch, splits, tile, true)),
  ).concat(
    [[9, 1], [30, 5]].map(([batch = 0, splits = 0]) =>
      realShape(batch, splits, valueTiles(batch)[0]!, false)
    ),
  );

/** Splits put together, [width]. */
function mergedRow(
  partial: Float64Array,
  stats: Float32Array,
  firstPart: number,
  splits: number,
  width: number,
  means: boolean,
): Float64Array {
  const parts = Array.from({ length: splits }, (_, s) => firstPart + s)
    .filter((part) => stats[2 * part + 1]! > 0);
  const top = Math.max(...parts.map((part) => stats[2 * part]!));
  const mixed = new Float64Array(width);
  let total = 0;
  for (const part of parts) {
    const weight = 2 ** (stats[2 * part]! - top);
    total += weight * stats[2 * part + 1]!;
    for (let c = 0; c < width; c++) {
      mixed[c]! += weight * partial[part * width + c]! *
        (means ? stats[2 * part + 1]! : 1);
    }
  }
  return mixed.map((x) => x / total);
}

/** attentionMerge() in the table. */
export const attentionMergeEntry: KernelEntry = {
  name: "attention_merge",
  parity: [...PARITY, ...MATRIX].map((shape) => mergeCase(shape)),
  bench: MERGE_BENCH,
};
