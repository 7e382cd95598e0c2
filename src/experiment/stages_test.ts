import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { CellRecord } from "./record.ts";
import { type Stage, STAGES, stagesOf } from "./stages.ts";

function cell(fields: Record<string, unknown>): CellRecord {
  return { status: "ok", ...fields } as unknown as CellRecord;
}

const CELLS = [
  cell({
    measure: "perplexity",
    wallSeconds: 10,
    startSeconds: 3,
    stageSeconds: { opening: 2, measuring: 7 },
  }),
  cell({
    measure: "conversion",
    wallSeconds: 6,
    stageSeconds: { calibration: 4, conversion: 1.5 },
    calibrationRuns: 2,
    metrics: { momentsSha256: ["aa", "bb"] },
  }),
  cell({
    measure: "conversion",
    wallSeconds: 1,
    stageSeconds: { conversion: 1 },
    metrics: { momentsSha256: ["aa", "cc"] },
  }),
  // Of a resumed run: the variant was converted again for its cache.
  cell({
    measure: "cache",
    wallSeconds: 4,
    stageSeconds: { conversion: 2, opening: 1, measuring: 1 },
  }),
  cell({
    measure: "throughput",
    status: "failed",
    wallSeconds: 1,
    stageSeconds: { measuring: 0.5 },
  }),
];

Deno.test("stagesOf() adds up to the total, in the order of STAGES", () => {
  const stages = stagesOf(CELLS)!;
  assertEquals(stages.totalSeconds, 25);
  assertEquals(
    Object.fromEntries(stages.stages.map(({ stage, seconds }) => [
      stage,
      seconds,
    ])) as Record<Stage, number>,
    {
      calibration: 4,
      conversion: 4.5,
      opening: 6,
      perplexity: 7,
      divergence: 0,
      cache: 1,
      throughput: 0.5,
      rest: 2,
    },
  );
  assertEquals(stages.stages.map(({ stage }) => stage), [...STAGES]);
  assertAlmostEquals(
    stages.stages.reduce((sum, { share }) => sum + share, 0),
    1,
    1e-12,
  );
  assertEquals([stages.calibrationRuns, stages.calibrationModels], [2, 3]);
});

Deno.test("stagesOf() takes cells without times by stage as one stage, and a run of nothing else as unknown", () => {
  const old = [
    cell({ measure: "perplexity", wallSeconds: 5 }),
    cell({
      measure: "conversion",
      wallSeconds: 5,
      metrics: { calibrationWallSeconds: 3 },
    }),
  ];
  assertEquals(stagesOf(old), undefined);
  const { totalSeconds, stages } = stagesOf([...CELLS, ...old])!;
  assertEquals(totalSeconds, 35);
  const seconds = new Map(stages.map((one) => [one.stage, one.seconds]));
  assertEquals(seconds.get("perplexity"), 12);
  assertEquals(seconds.get("calibration"), 7);
  assertEquals(seconds.get("conversion"), 6.5);
  assertEquals(seconds.get("rest"), 2);
});
