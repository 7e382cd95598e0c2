import { assertEquals } from "@std/assert";
import type { Solution } from "./solve.ts";
import {
  betterOf,
  rowsWorthGemv,
  type SolvedProblem,
  suspects,
} from "./suspects.ts";
import type { TunedProduct, TuningProblem } from "./tuning_problem.ts";

const COPY = 1e12;

Deno.test("suspects() are those far behind their kin, and those of a busy device", () => {
  const sizes = [
    gemm({ height: 1000, seconds: 110e-6, share: 1 }),
    gemm({ height: 2000, seconds: 220e-6, share: 2 }),
    // As fast as the others, but for a busy device.
    gemm({ height: 3000, seconds: 330e-6, share: 3, calm: false }),
    // Five times as slow.
    gemm({ height: 4000, seconds: 2200e-6, share: 4 }),
    // Slow, as its kin is.
    gemm({ height: 1000, rows: 300, seconds: 900e-6, share: 5 }),
    gemm({ height: 2000, rows: 300, seconds: 1800e-6, share: 5 }),
  ];
  const found = suspects(sizes, COPY);
  assertEquals(
    found.map(({ problem }) => problem.product!.height),
    [4000, 3000],
  );
});

Deno.test("betterOf() prefers a device with nothing else to do, then the faster", () => {
  const busy = solution(1, false);
  const calm = solution(2, true);
  assertEquals(betterOf(busy, calm), calm);
  assertEquals(betterOf(calm, busy), calm);
  assertEquals(betterOf(calm, solution(1, true)).seconds, 1);
});

Deno.test("rowsWorthGemv() are those before the first number at which gemm() wins", () => {
  const gemms = [
    gemm({ height: 1000, rows: 8, seconds: 100e-6 }),
    gemm({ height: 2000, rows: 8, seconds: 200e-6 }),
  ];
  const gemvs = (rows: number, first: number, second: number) => [
    gemv({ height: 1000, rows, seconds: first }),
    gemv({ height: 2000, rows, seconds: second }),
  ];
  const few = [...gemvs(2, 60e-6, 120e-6), ...gemvs(4, 110e-6, 150e-6)];
  assertEquals(rowsWorthGemv([...gemms, ...few]), {});
  const seven = gemvs(7, 150e-6, 170e-6);
  assertEquals(rowsWorthGemv([...gemms, ...few, ...seven]), {
    f16: { rows: 4 },
  });
  const eight = gemvs(8, 90e-6, 190e-6);
  assertEquals(rowsWorthGemv([...gemms, ...few, ...eight]), {
    f16: { rows: 8 },
  });
});

interface Measured {
  readonly height: number;
  readonly rows?: number;
  readonly seconds: number;
  readonly share?: number;
  readonly calm?: boolean;
}

const gemm = (measured: Measured) => solved("gemm", measured);
const gemv = (measured: Measured) => solved("gemv", measured);

function solved(
  family: "gemm" | "gemv",
  { height, rows = 64, seconds, share = 1, calm = true }: Measured,
): SolvedProblem {
  const width = 1000;
  const product: TunedProduct = {
    rows,
    height,
    width,
    element: "f16",
    times: 1,
    around: 0,
  };
  const problem = {
    family,
    kin: `${family} ${rows}`,
    product,
    bytes: 2 * height * width,
    flops: 2 * rows * height * width,
    share,
  } as TuningProblem;
  return { problem, solution: solution(seconds, calm) };
}

function solution(seconds: number, calm: boolean): Solution {
  return {
    shape: {},
    seconds,
    defaultSeconds: seconds,
    calm,
    timed: 1,
    refused: [],
  };
}
