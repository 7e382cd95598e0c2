// Products of a decode step at real sizes, and the shapes to time for them on a
// device that gemv_tuning.ts does not know:
// `deno task bench kernels --only "gemv: *candidate*"`.

import { formOf, fusedBench, type FusedShape } from "./gemv_fused_cases.ts";
import { gemvShapes } from "../gemv_tuning.ts";
import type { KernelCase } from "./kernel_case.ts";

type Product = Pick<
  FusedShape,
  "height" | "width" | "scaled" | "count" | "epilogue" | "note"
>;

// LLaMA-2-7B; where a residual epilogue goes before, it leaves about as many sums.
const COUNT = 256;
const PRODUCTS: readonly Product[] = [
  { height: 12288, width: 4096, scaled: true, count: COUNT },
  // MLA: query and latent.
  { height: 6720, width: 4096, scaled: true, count: COUNT },
  { height: 4096, width: 4096, epilogue: "residual" },
  { height: 22016, width: 4096, scaled: true, count: COUNT, epilogue: "gated" },
  { height: 4096, width: 11008, epilogue: "residual" },
  { height: 32000, width: 4096, scaled: true, count: COUNT },
];

const ROWS = [1, 2, 4, 8] as const;

/** Bench cases of a decode step's products, by the shapes of gemv_tuning.ts. */
export const FUSED_BENCHES: readonly KernelCase[] = PRODUCTS.flatMap((
  product,
) => ROWS.map((rows) => fusedBench({ ...product, rows, element: "f16" })));

/** The same by each shape that could be fastest. */
export const GEMV_CANDIDATES: readonly KernelCase[] = PRODUCTS.flatMap((
  product,
) => ROWS.flatMap((rows) => candidates({ ...product, rows, element: "f16" })));

function candidates(fused: FusedShape): KernelCase[] {
  const { rows, height, width } = fused;
  const size = { columns: rows, height, width, form: formOf(fused) };
  return gemvShapes(size).map((shape) =>
    fusedBench({
      ...fused,
      shape,
      note: `candidate ${shape.threads} threads, ${shape.rows} rows, ` +
        `${shape.unroll} loads`,
    })
  );
}
