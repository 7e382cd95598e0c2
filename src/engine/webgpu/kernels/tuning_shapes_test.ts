import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../../base/errors.ts";
import { MATRIX_DESIGNS } from "./attention_matrix_tuning.ts";
import { MATRIX_PREFILL_SHAPES } from "./attention_prefill_matrix.ts";
import { candidateTiles } from "./gemm_candidates.ts";
import { type GemvForm, gemvShapes } from "./gemv_tuning.ts";
import { HALF_TILES, tileDecodeShape } from "./tile_decode_tuning.ts";
import h100 from "./tuned/nvidia_h100.json" with { type: "json" };
import { checkShapes } from "./tuning_shapes.ts";
import {
  checkTuningFamily,
  type TunedShape,
  type TuningTable,
} from "./tuning_table.ts";

Deno.test("checkShapes() takes what comes with the suite and all that tune may find", () => {
  for (const table of checkTuningFamily("h100", h100).tables) {
    checkShapes("h100", table);
  }
  const forms: GemvForm[] = ["plain", "gated", "residual"];
  const sizes = [8, 16, 30, 64, 244, 2048].flatMap((rows) =>
    [false, true].map((gated) => ({
      rows,
      height: 22016,
      width: 4096,
      element: "f16" as const,
      input: "f16" as const,
      gated,
    }))
  );
  checkShapes(
    "candidates",
    tableOf({
      gemm: numbered(
        sizes.flatMap((size) =>
          (["matrix", "registers"] as const).flatMap((kind) =>
            candidateTiles(kind, size)
          )
        ),
      ),
      gemv: numbered(
        forms.flatMap((form) =>
          [1, 2, 4, 8].flatMap((columns) =>
            gemvShapes({ columns, form, height: 4096, width: 4096 })
          )
        ),
      ),
      attention_decode_matrix: numbered([
        { splits: 0 },
        ...MATRIX_DESIGNS.map((design) => ({ ...design, splits: 132 })),
        { ...MATRIX_DESIGNS.at(-1)!, chunk: 640, valueBlocks: 2, splits: 8 },
      ]),
      attention_decode_tile: numbered([
        { splits: 0 },
        { ...tileDecodeShape(8, 2, 1, false), splits: 1 },
        ...HALF_TILES.map((tile) => ({ ...tile, splits: 9 })),
      ]),
      attention_prefill_matrix: numbered(MATRIX_PREFILL_SHAPES),
      of_another_version: numbered([{ anything: -1 }]),
    }),
  );
});

Deno.test("checkShapes() names the field of a shape that has no sense", () => {
  const tile = { kind: "registers", rows: 16, columns: 64, depth: 32 };
  const whole = { ...tile, threadRows: 4, threadColumns: 8 };
  const design = { tokens: 16, buffers: 2, rowBlocks: 2, skips: true };
  for (
    const [kernel, shape, field] of [
      ["gemv", { subgroups: true, threads: 0, rows: 1, unroll: 1 }, "threads"],
      ["gemv", { subgroups: true, threads: 96, rows: 1, unroll: 1 }, "threads"],
      ["gemv", { subgroups: true, threads: 64, rows: 1 }, "unroll"],
      ["gemv", { subgroups: true, threads: 64, rows: -1, unroll: 1 }, "rows"],
      ["gemm", { ...whole, rows: 18 }, "rows"],
      ["gemm", { ...whole, threadColumns: 7 }, "gemm.k"],
      ["gemm", { ...whole, across: 3 }, "gemm.k"],
      ["gemm", { ...whole, chain: 24 }, "gemm.k"],
      ["gemm", { ...whole, kind: "tensor" }, "kind"],
      ["gemm", { ...tile, kind: "matrix", subgroupRows: 0 }, "subgroupRows"],
      ["attention_decode_lanes", { splits: 0 }, "splits"],
      ["attention_decode_lanes", { splits: 1e9 }, "splits"],
      ["attention_decode_lanes", { splits: "4" }, "splits"],
      ["attention_decode_matrix", { ...design, splits: 1.5 }, "splits"],
      ["attention_decode_matrix", { splits: 4 }, "tokens"],
      [
        "attention_decode_matrix",
        { ...design, splits: 4, chunk: 100 },
        "chunk",
      ],
      ["attention_decode_tile", { heads: 6, splits: 4 }, "heads"],
      ["gemv_rows", { rows: -1 }, "rows"],
      ["attention_prefill_matrix", { subgroups: 4, rowBlocks: 3 }, "rowBlocks"],
    ] as const
  ) {
    const table = tableOf({ [kernel]: { k: shape as TunedShape } });
    const error = assertThrows(() => checkShapes("file", table), InputError);
    assertStringIncludes(error.message, `Cannot use file as kernels.${kernel}`);
    assertStringIncludes(error.message, field);
    assertEquals(error.message.includes("\n"), false);
  }
});

function numbered(shapes: readonly object[]): Record<string, TunedShape> {
  return Object.fromEntries(
    shapes.map((shape, i) => [
      String(i),
      Object.fromEntries(
        Object.entries(shape).filter(([, value]) => value !== undefined),
      ),
    ]),
  );
}

function tableOf(kernels: TuningTable["kernels"]): TuningTable {
  return {
    format: 1,
    adapter: "Card",
    driver: "1",
    provider: "deno",
    date: "2026-01-02",
    deno: "2.9.6",
    kernels,
  };
}
