import { assert, assertEquals } from "@std/assert";
import type { CellRecord } from "../experiment/record.ts";
import { sampleRecords, SMALL } from "../../tests/fixtures/sample_run.ts";
import {
  isReproducible,
  reproductionVerdicts,
  type Verdict,
} from "./compare_reproduction.ts";
import { OTHER_ENGINE, SAME_ENGINE } from "./compare_verdicts.ts";

const RECORDS = sampleRecords(SMALL).filter((record) =>
  isReproducible(record, {})
);

/** Verdicts on the records with some of them changed. */
function verdicts(
  change: (record: CellRecord) => object,
  options: Parameters<typeof reproductionVerdicts>[2] = {},
  records: readonly CellRecord[] = RECORDS,
): Verdict[] {
  const again = records.map((record) =>
    ({ ...record, ...change(record) }) as CellRecord
  );
  return reproductionVerdicts(records, again, options);
}

/** Verdicts on the NLL of every window raised by a number. */
function raised(by: number, engine: object = {}): Set<string> {
  const found = verdicts((record) => ({
    engine: { ...record.engine, ...engine },
    ...(record.measure === "perplexity"
      ? {
        metrics: {
          ...record.metrics!,
          windowNll: record.metrics!.windowNll.map((nll) => nll + by),
        },
      }
      : {}),
  }));
  return new Set(
    found.filter(({ measure }) => measure === "perplexity").map(
      ({ verdict }) => verdict,
    ),
  );
}

Deno.test("reproductionVerdicts() finds a copy identical in every cell", () => {
  const found = verdicts(() => ({}));
  assertEquals(
    new Set(found.map(({ verdict }) => verdict)),
    new Set(["identical"]),
  );
  const judged = new Set(
    found.map(({ variantLabel, measure, contextTokens }) =>
      `${variantLabel} ${measure} ${contextTokens}`
    ),
  );
  assertEquals(judged.size, RECORDS.length);
});

Deno.test("reproductionVerdicts() holds perplexity tighter on the recorded engine", () => {
  // exp() of a small difference is nearly the relative difference.
  const between = (SAME_ENGINE.perplexity + OTHER_ENGINE.perplexity) / 2;
  assertEquals(raised(SAME_ENGINE.perplexity * 0.9), new Set(["agrees"]));
  assertEquals(raised(between), new Set(["differs"]));
  assertEquals(raised(between, { name: "webgpu" }), new Set(["agrees"]));
  assertEquals(raised(between, { dtype: "f16" }), new Set(["agrees"]));
  assertEquals(
    raised(OTHER_ENGINE.perplexity * 1.1, { name: "webgpu" }),
    new Set(["differs"]),
  );
  assertEquals(raised(NaN), new Set(["differs"]));
});

Deno.test("reproductionVerdicts() compares the first windows where fewer are scored again", () => {
  const found = verdicts((record) =>
    record.measure === "perplexity"
      ? {
        metrics: {
          ...record.metrics!,
          // The figure of the whole is another, that of the first windows is not.
          value: 1,
          windows: 3,
          windowNll: record.metrics!.windowNll.slice(0, 3),
        },
      }
      : {}
  ).filter(({ measure }) => measure === "perplexity");
  assert(found.length > 0);
  for (const { verdict, quantity } of found) {
    assertEquals(
      [verdict, quantity],
      ["identical", "perplexity, first 3 of 40 windows"],
    );
  }
});

Deno.test("reproductionVerdicts() takes nothing for granted that was not measured", () => {
  const [first] = RECORDS;
  assertEquals(
    reproductionVerdicts(RECORDS, RECORDS.slice(1)).filter(({ verdict }) =>
      verdict === "differs"
    ).map(({ reason }) => reason),
    ["not measured"],
  );
  const failed = verdicts((record) =>
    record === first
      ? { status: "failed", error: "it broke", metrics: undefined }
      : {}
  );
  assertEquals(
    failed.filter(({ verdict }) => verdict === "differs").map(({ reason }) =>
      reason
    ),
    ["failed: it broke"],
  );
});

Deno.test("reproductionVerdicts() holds cache sizes equal and energies by layer", () => {
  const cache = (metrics: object, engine: object = {}) =>
    verdicts((record) =>
      record.measure === "cache"
        ? {
          metrics: { ...record.metrics!, ...metrics },
          engine: { ...record.engine, ...engine },
        }
        : {}
    ).filter(({ verdict }) => verdict === "differs").length;
  assert(cache({ measuredBytes: 1 }) > 0);
  assert(cache({ elementsPerTokenPerLayer: 1 }) > 0);
  // A cache in f16 takes other bytes for the same numbers.
  assertEquals(
    cache({ measuredBytes: 1, bytesPerToken: 1 }, { dtype: "f16" }),
    0,
  );
  const energy = (by: number) =>
    verdicts((record) =>
      record.measure === "conversion"
        ? {
          metrics: {
            ...record.metrics!,
            keptEnergyByLayer: record.metrics!.keptEnergyByLayer.map((
              kept,
              layer,
            ) => layer === 7 ? kept + by : kept),
          },
        }
        : {}
    ).filter(({ verdict }) => verdict === "differs").length;
  assertEquals(energy(SAME_ENGINE.keptEnergy / 2), 0);
  assert(energy(SAME_ENGINE.keptEnergy * 2) > 0);
});

Deno.test("reproductionVerdicts() compares speeds only where a ratio is given", () => {
  const all = sampleRecords(SMALL);
  const speeds = all.filter(({ measure }) => measure === "throughput");
  assert(speeds.length > 0);
  assert(speeds.every((record) => !isReproducible(record, {})));
  const halved = (timings: number) =>
    verdicts(
      (record) =>
        record.measure === "throughput"
          ? {
            metrics: {
              ...record.metrics!,
              decodeTokensPerSecond: record.metrics!.decodeTokensPerSecond / 2,
            },
          }
          : {},
      { timings },
      speeds,
    ).filter(({ verdict }) => verdict === "differs").length;
  assertEquals([halved(2.01), halved(1.9)], [0, speeds.length]);
});
