import { assertEquals, assertStringIncludes } from "@std/assert";
import type { CellRecord } from "../experiment/record.ts";
import type { RunData } from "./load.ts";
import {
  commandLines,
  commits,
  memoryGrowth,
  mergeNotes,
  missingCells,
  missingLines,
  modelChoices,
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
    folders: [],
    superseded: 0,
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
  assertEquals(line("--resume"), []);
  assertEquals(line("--out=somewhere", "--engine", "webgpu"), [
    "deno task experiment rank-ablation --engine webgpu",
  ]);
  assertEquals(line("--only", "original,transmla F2*", "--set", "a=[1,2]"), [
    'deno task experiment rank-ablation --only "original,transmla F2*" --set "a=[1,2]"',
  ]);
  assertEquals(commandLines(run({})), []);
});

Deno.test("modelChoices() says which models could not be had and why, without folders", () => {
  const model = { name: "c", requested: ["a", "b", "c"] };
  const notHad = [
    { name: "a", reason: "it is not in /home/me/models/a: no network" },
    { name: "b", reason: "Cannot reach https://hub.example/b: refused" },
  ];
  assertEquals(modelChoices(run({ model: { ...model, notHad } })), [
    "Measured on c: the experiment file lists a (it is not in a: no network) and b (Cannot reach https://hub.example/b: refused) before it, which could not be had.",
  ]);
  assertEquals(modelChoices(run({ model: { ...model, notHad: [] } })), []);
  // Runs recorded before it was.
  assertEquals(modelChoices(run({ model })), []);
  assertStringIncludes(
    modelChoices(run({ model: { ...model, name: "embedded" } })).join(" "),
    "say nothing of a language model of use",
  );
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

Deno.test("missingLines() names label, measure and contexts", () => {
  const at = (measure: string, contextTokens?: number) => ({
    cell: `${measure} ${contextTokens}`,
    variantLabel: "a",
    measure,
    ...contextTokens === undefined ? {} : { contextTokens },
  });
  const missing = [
    at("perplexity", 512),
    at("conversion"),
    at("perplexity", 2048),
    planned("b"),
  ];
  assertEquals(missingLines(run({}, { missing })), [
    "a: perplexity at 512 and 2,048; conversion",
    "b: perplexity",
  ]);
});

Deno.test("mergeNotes() says what stood back and that speeds are of several machines", () => {
  const cells = ["1", "2"].map((id) =>
    cell({ cell: id, measure: "throughput", engine: { name: "onnx" } })
  );
  const folder = (id: string, model: string) => ({
    directory: id,
    environment: { cpu: { model, cores: 2 } },
    cells: new Set([id]),
  });
  const notes = (second: string) =>
    mergeNotes(run({}, {
      cells,
      superseded: 1,
      folders: [folder("1", "A"), folder("2", second)],
    }));
  assertEquals(notes("A"), [
    "Merged from 2 folders.",
    "1 recorded cell stands back for another of the same variant, measure and context: one that ended well before any other, then the latest.",
  ]);
  assertEquals(
    notes("B")[2],
    "Speeds were measured on 2 machines (A, 2 cores; B, 2 cores): ratios across them compare machines, too.",
  );
  assertEquals(mergeNotes(run({})), []);
});
