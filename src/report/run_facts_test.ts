import { assertEquals } from "@std/assert";
import type { CellRecord } from "../experiment/record.ts";
import type { RunData } from "./load.ts";
import {
  commandLines,
  commits,
  memoryGrowth,
  missingCells,
  notSelected,
} from "./run_facts.ts";

function run(
  environment: Record<string, unknown>,
  more: Partial<RunData> = {},
): RunData {
  return {
    experiments: ["sample"],
    runIds: ["1"],
    cells: [],
    checks: [],
    environments: [environment],
    experiment: {},
    missing: [],
    problems: [],
    ...more,
  };
}

function cell(fields: Record<string, unknown>): CellRecord {
  return {
    variantLabel: "a",
    commit: "0123456789abcdef",
    engine: { name: "webgpu", dtype: "f32", adapterKind: "gpu" },
    ...fields,
  } as unknown as CellRecord;
}

const planned = (variantLabel: string) => ({
  cell: variantLabel,
  variantLabel,
  measure: "perplexity",
});

Deno.test("commits() says that the working tree had changes", () => {
  const git = (dirty: boolean) => ({
    git: { commit: "0123456789abcdef", dirty },
  });
  const cells = [cell({}), cell({})];
  assertEquals(commits(run(git(false), { cells })), "0123456789");
  assertEquals(commits(run(git(true), { cells })), "0123456789 + changes");
});

Deno.test("commandLines() names options but for --out, quoted as a shell needs", () => {
  const file = "experiments/rank-ablation.yaml";
  const line = (...options: string[]) =>
    commandLines(run({ argv: ["experiment", file, ...options] }));
  assertEquals(line(), []);
  assertEquals(line("--out", "somewhere"), []);
  assertEquals(line("--out=somewhere", "--engine", "webgpu"), [
    "deno task experiment rank-ablation --engine webgpu",
  ]);
  assertEquals(line("--only", "original,transmla F2*", "--set", "a=[1,2]"), [
    'deno task experiment rank-ablation --only "original,transmla F2*" --set "a=[1,2]"',
  ]);
  assertEquals(commandLines(run({})), []);
});

Deno.test("missingCells() tells variants that were left out from cells that are missing", () => {
  const cells = [cell({ variantLabel: "a" })];
  const missing = [planned("a"), planned("b"), planned("c")];
  const all = run({ argv: ["experiment"] }, { cells, missing });
  assertEquals(missingCells(all), "3 of 4 cells are not measured");
  const some = run({ argv: ["experiment", "--only", "a"] }, { cells, missing });
  assertEquals(notSelected(some), ["b", "c"]);
  assertEquals(
    missingCells(some),
    "1 of 2 cells is not measured, 2 variants were not selected",
  );
});

Deno.test("memoryGrowth() gives the range beside theory", () => {
  const grown = (variantLabel: string, memoryGrowthRatio?: number) =>
    cell({
      variantLabel,
      measure: "cache",
      metrics: {
        ...memoryGrowthRatio === undefined ? {} : { memoryGrowthRatio },
      },
    });
  assertEquals(memoryGrowth({ cells: [grown("a")] }), "");
  assertEquals(
    memoryGrowth({ cells: [grown("a", 0.99), grown("b", 1.0243)] }),
    "The growth of device memory between a short and a long cache is within 2.5\u00a0% of theory (0.990 to 1.024 of it, 2 variants).",
  );
});
