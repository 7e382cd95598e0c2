// The figures of the tiny model by version of the numerics. A figure that
// changes while NUMERICS_VERSION does not would let old cells pass for new ones.

import { assertAlmostEquals, assertEquals, assertExists } from "@std/assert";
import { CellRunner } from "../src/experiment/cell_runner.ts";
import { NUMERICS_VERSION } from "../src/experiment/numerics.ts";
import { makeTinyRun, tinyPlan, tinyYaml } from "./fixtures/tiny_run.ts";

/** Perplexities by version and variant; to be extended, never changed. */
const FIGURES: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  1: {
    "original": 286.21841739531527,
    "partial-rope Fauto m8": 285.2948677657243,
    "transmla F2 m16 r24 bkv": 293.6359841079195,
    "transmla F2 m16 r24 bkv balanceKvNorm=token": 294.34758814360305,
  },
};

for (
  const [engine, tolerance] of [["reference", 1e-7], ["onnx", 1e-5]] as const
) {
  Deno.test(`numerics version ${NUMERICS_VERSION}: perplexities of ${engine}`, async () => {
    const expected = FIGURES[NUMERICS_VERSION];
    assertExists(expected, `no figures of version ${NUMERICS_VERSION}`);
    const folder = await Deno.makeTempDir({ prefix: "tiny-numerics-" });
    try {
      const tiny = await makeTinyRun(folder);
      const plan = await tinyPlan(tinyYaml(tiny, {
        engine: `{ name: ${engine} }`,
        calibration:
          `{ text: "${tiny.calibration}", samples: 4, tokens: 32, passes: 2 }`,
        variants: `
  - method: original
  - method: partial-rope
    qkRopeHeadDim: 8
  - method: transmla
    qkRopeHeadDim: 16
    freqFold: 2
    kvLoraRank: 24
    matrix: { balanceKvNorm: [channel, token] }`,
        measure: `
  perplexity: { text: "${tiny.test}", tokens: 256, contexts: [64] }`,
      }));
      const runner = await CellRunner.open({ experiment: plan.experiment }, {
        progress() {},
        log() {},
      });
      const measured: Record<string, number> = {};
      try {
        for (const cell of plan.cells) {
          if (cell.measure !== "perplexity") continue;
          const metrics = await runner.run(cell);
          measured[cell.variantLabel] = "value" in metrics
            ? metrics.value
            : NaN;
        }
      } finally {
        await runner.close();
      }
      assertEquals(
        Object.keys(measured),
        Object.keys(expected),
        JSON.stringify(measured),
      );
      for (const [label, value] of Object.entries(expected)) {
        assertAlmostEquals(
          measured[label]!,
          value,
          tolerance * value,
          `${label}: raise NUMERICS_VERSION if this change is meant`,
        );
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
