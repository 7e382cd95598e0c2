import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import type { CellRecord, PerplexityMetrics } from "../experiment/record.ts";
import { sampleRecords, SMALL } from "../../tests/fixtures/sample_run.ts";
import { assertClose } from "../../tests/fixtures/assert_close.ts";
import { type ComparedRun, compareRuns } from "./compare.ts";
import { comparisonCsv } from "./compare_csv.ts";
import { comparisonSections, unlikeLines } from "./compare_tables.ts";
import { parseTolerance, violations } from "./compare_tolerance.ts";

const RECORDS = sampleRecords(SMALL);
const RUN: ComparedRun = {
  name: "A",
  cells: RECORDS,
  environment: { cpu: { model: "Sample CPU", cores: 4 }, deno: "1" },
  experiment: {
    calibration: { text: "t", samples: 8, tokens: 16, seed: 1, passes: 2 },
  },
};

/** How many cells of a measure there are. */
function countOf(measure: string): number {
  const count = RECORDS.filter((record) => record.measure === measure).length;
  assert(count > 1);
  return count;
}

/** A run whose records a function changes. */
function changed(
  change: (record: CellRecord) => object,
  rest: Partial<ComparedRun> = {},
): ComparedRun {
  return {
    ...RUN,
    name: "B",
    cells: RECORDS.map((record) =>
      ({ ...record, ...change(record) }) as CellRecord
    ),
    ...rest,
  };
}

/** Every window's NLL higher by a number. */
function shifted(by: number) {
  return (record: CellRecord) => {
    if (record.measure !== "perplexity") return {};
    const metrics = record.metrics!;
    const meanNll = metrics.meanNll + by;
    return {
      metrics: {
        ...metrics,
        meanNll,
        value: Math.exp(meanNll),
        windowNll: metrics.windowNll.map((nll) => nll + by),
      },
    };
  };
}

Deno.test("compareRuns() of a run with itself has pairs only, none with a difference", () => {
  const { pairs, onlyA, onlyB, provenance } = compareRuns(RUN, RUN);
  assertEquals(pairs.length, RECORDS.length);
  assertEquals([onlyA, onlyB, provenance], [[], [], []]);
  for (const { unlike, differences } of pairs) {
    assertEquals(unlike, []);
    assert(differences.length > 0);
    for (const { difference, ratio, paired } of differences) {
      assertEquals(difference, 0);
      if (ratio !== undefined) assertEquals(ratio, 1);
      if (paired !== undefined) {
        assertEquals(paired, { mean: 0, ci95: [0, 0] });
      }
    }
  }
});

Deno.test("compareRuns() pairs NLLs window by window", () => {
  const { pairs } = compareRuns(RUN, changed(shifted(0.01)));
  const scored = pairs.filter(({ measure }) => measure === "perplexity");
  assertEquals(scored.length, countOf("perplexity"));
  for (const { differences: [value] } of scored) {
    // Windows differ far more from each other than from their partners.
    assertClose(
      [value!.paired!.mean, ...value!.paired!.ci95!],
      [0.01, 0.01, 0.01],
      { atol: 1e-12, what: "paired" },
    );
    assertClose([value!.ratio!], [Math.exp(0.01)], {
      atol: 0,
      rtol: 1e-12,
      what: "ratio",
    });
  }
});

Deno.test("compareRuns() says where a pair is not like for like, and pairs no windows of another text", () => {
  const reasons = (b: ComparedRun, measure: string) =>
    new Set(
      compareRuns(RUN, b).pairs.filter((pair) => pair.measure === measure)
        .flatMap(({ unlike }) => unlike),
    );
  const ofText = (text: Partial<PerplexityMetrics>) =>
    changed((record) =>
      record.measure === "perplexity"
        ? { metrics: { ...record.metrics!, ...text } }
        : {}
    );
  const other = ofText({ text: "other", textSha256: "c".repeat(64) });
  assertEquals(
    reasons(other, "perplexity"),
    new Set(["texts: sample-text/test, other"]),
  );
  for (const { differences } of compareRuns(RUN, other).pairs) {
    assert(differences.every(({ paired }) => paired === undefined));
  }
  assertEquals(
    reasons(ofText({ textSha256: "c".repeat(64) }), "perplexity"),
    new Set([
      "contents of sample-text/test: aaaaaaaaaa, cccccccccc",
    ]),
  );
  assert(
    reasons(ofText({ windows: 39 }), "perplexity").has(
      "windows: 40 of 512, 39 of 512",
    ),
  );
  const machine = changed(() => ({}), {
    environment: { cpu: { model: "Other CPU", cores: 2 } },
  });
  assertEquals(
    reasons(machine, "throughput"),
    new Set(["machines: Sample CPU, 4 cores, Other CPU, 2 cores"]),
  );
  assertEquals(reasons(machine, "perplexity"), new Set());
  const calibrated = changed(() => ({}), {
    experiment: {
      calibration: { text: "u", samples: 8, tokens: 16, seed: 1, passes: 1 },
    },
  });
  assertEquals(
    reasons(calibrated, "perplexity"),
    new Set([
      "calibration: t, 8 of 16 tokens, seed 1, 2 passes, u, 8 of 16 tokens, seed 1, 1 pass",
    ]),
  );
  const weights = changed((record) => ({
    model: { ...record.model, sha256: "d".repeat(64) },
  }));
  assertEquals(
    reasons(weights, "cache"),
    new Set(["weights of sample-model: bbbbbbbbbb, dddddddddd"]),
  );
  assertEquals(
    unlikeLines(compareRuns(RUN, machine)).map((line) => line.split(":")[0]),
    ["throughput", "conversion"].map((measure) =>
      `not like for like, ${countOf(measure)} of ${
        countOf(measure)
      } ${measure} pairs`
    ),
  );
});

Deno.test("compareRuns() pairs by options where labels differ, and lists what is alone", () => {
  const relabeled = changed((record) =>
    record.variant.method === "original"
      ? {}
      : { variantLabel: `my ${record.variantLabel}` }
  );
  assertEquals(compareRuns(RUN, relabeled).pairs.length, RECORDS.length);
  const fewer = { ...RUN, name: "B", cells: RECORDS.slice(0, 4) };
  const { onlyA, onlyB } = compareRuns(RUN, fewer);
  assertEquals([onlyA.length, onlyB.length], [RECORDS.length - 4, 0]);
});

Deno.test("compareRuns() of merged runs takes the cell of the same engine", () => {
  const webgpu = RECORDS.map((record) =>
    ({
      ...record,
      engine: { name: "webgpu", provider: "deno", dtype: "f32" },
      cell: `w${record.cell.slice(1)}`,
    }) as CellRecord
  );
  const both = { ...RUN, name: "B", cells: [...webgpu, ...RECORDS] };
  const { pairs, onlyB } = compareRuns(RUN, both);
  assert(pairs.every(({ cellA, cellB }) => cellA === cellB));
  assertEquals(onlyB.length, webgpu.length);
});

Deno.test("compareRuns() names the fields that runs were made with, texts by name", () => {
  const environment = (commit: string, texts: object[]) => ({
    git: { commit, dirty: false },
    recordedAt: commit,
    texts,
  });
  const a = changed(() => ({}), {
    environment: environment("one", [{ name: "t", sha256: "1" }]),
  });
  const b = changed(() => ({}), {
    environment: environment("two", [
      { name: "s", sha256: "2" },
      { name: "t", sha256: "1" },
    ]),
  });
  assertEquals(compareRuns(a, b).provenance, [
    { field: "git.commit", a: "one", b: "two" },
    { field: "texts.s.name", a: "–", b: "s" },
    { field: "texts.s.sha256", a: "–", b: "2" },
  ]);
});

Deno.test("violations() tells worse from better, and refuses what it cannot judge", () => {
  const over = (b: ComparedRun, text: string) =>
    violations(compareRuns(RUN, b), [parseTolerance(text)]);
  const worse = changed(shifted(0.01));
  assertEquals(over(worse, "perplexity=1.1%"), []);
  const found = over(worse, "perplexity=1%");
  assertEquals(found.length, countOf("perplexity"));
  assertEquals(
    found[0]!.reason,
    "perplexity.value is worse by 1.005 %: allowed 1 %",
  );
  assertEquals(over(worse, "perplexity.deltaNll=0.0101"), []);
  assertEquals(
    over(worse, "perplexity.deltaNll=0.0099").length,
    countOf("perplexity"),
  );
  assertEquals(over(changed(shifted(-0.5)), "perplexity=0%"), []);
  const slower = changed((record) =>
    record.measure === "throughput"
      ? {
        metrics: {
          ...record.metrics!,
          decodeTokensPerSecond: record.metrics!.decodeTokensPerSecond / 2,
        },
      }
      : {}
  );
  assertEquals(over(slower, "throughput=10%").length, countOf("throughput"));
  const failed = changed((record) =>
    record.measure === "cache" ? { status: "failed", metrics: undefined } : {}
  );
  assertEquals(
    over(failed, "cache=0").map(({ reason }) => reason),
    Array(countOf("cache")).fill("failed in B"),
  );
  const other = changed((record) => ({
    model: { ...record.model, sha256: "d".repeat(64) },
  }));
  assert(over(other, "cache=0")[0]!.reason.startsWith("not like for like"));
  assertThrows(() => over(RUN, "divergence=1%"), InputError, "no cell of both");
  assertThrows(
    () => parseTolerance("perplexty=1%"),
    InputError,
    'did you mean "perplexity"',
  );
  assertThrows(() => parseTolerance("perplexity"), InputError, "METRIC=N");
  assertThrows(() => parseTolerance("perplexity=-1"), InputError, "METRIC=N");
});

Deno.test("violations() of cells that B lacks are violations, whether some or all are gone", () => {
  const total = countOf("perplexity");
  const scored = RECORDS.filter(({ measure }) => measure === "perplexity");
  for (const kept of [0, 1]) {
    const left = new Set(scored.slice(0, kept));
    const fewer = {
      ...RUN,
      name: "B",
      cells: RECORDS.filter((record) =>
        record.measure !== "perplexity" || left.has(record)
      ),
    };
    assertEquals(
      violations(compareRuns(RUN, fewer), [parseTolerance("perplexity=1%")])
        .map(({ reason }) => reason),
      Array(total - kept).fill("not in B"),
    );
  }
});

Deno.test("parseTolerance() demands a finite number, and proposes no name where only it is wrong", () => {
  for (const number of ["1e400", "1e400%", "-1", "", "x"]) {
    const error = assertThrows(
      () => parseTolerance(`perplexity.value=${number}`),
      InputError,
      "METRIC=N",
    );
    assert(!error.message.includes("did you mean"), error.message);
  }
  assertEquals(parseTolerance("perplexity=1e-3").value, 1e-3);
});

Deno.test("compareRuns() says where calibration texts of one name have other contents", () => {
  const of = (sha256: string) => ({
    ...RUN,
    environment: { texts: [{ name: "t", sha256 }] },
  });
  const a = of("1".repeat(64));
  for (const { unlike } of compareRuns(a, of("1".repeat(64))).pairs) {
    assertEquals(unlike, []);
  }
  const converted = compareRuns(a, of("2".repeat(64))).pairs.filter((
    { measure, variantLabel },
  ) => measure === "perplexity" && variantLabel !== "original");
  assert(converted.length > 0);
  for (const { unlike } of converted) {
    assertEquals(unlike, [
      "contents of calibration text t: 1111111111, 2222222222",
    ]);
  }
});

Deno.test("compareRuns() pairs equal cell ids where label and seed are told in another way", () => {
  const seeded = changed((record) => ({
    variantLabel: `${record.variantLabel} s1`,
    calibrationSeed: 1,
    variantGroup: record.variantLabel,
  }));
  const { pairs, onlyA, onlyB } = compareRuns(RUN, seeded);
  assertEquals([onlyA.length, onlyB.length], [0, 0]);
  assert(pairs.every(({ cellA, cellB }) => cellA === cellB));
});

Deno.test("comparisonCsv() has a row a figure, comparisonSections() a table a measure", () => {
  const comparison = compareRuns(RUN, changed(shifted(0.01)));
  const lines = comparisonCsv(comparison).trimEnd().split("\r\n");
  const figures = comparison.pairs.flatMap(({ differences }) => differences);
  assertEquals(lines.length, figures.length + 1);
  const columns = lines.map((line) => line.split(",").length);
  assertEquals(new Set(columns), new Set([15]));
  const titles = comparisonSections(comparison).map(({ title }) => title);
  for (const title of ["Perplexity", "Cache", "Throughput", "Conversion"]) {
    assert(titles.includes(title), title);
  }
  for (const { table } of comparisonSections(comparison)) {
    for (const { cells } of table.rows) {
      assertEquals(cells.length, table.columns.length);
    }
  }
});
