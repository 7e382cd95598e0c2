// The Pareto front over perplexity, cache bytes and decoding speed.

import { assertEquals } from "@std/assert";
import { collectSeries, loadRuns } from "../src/report/mod.ts";
import { dominates, paretoFront } from "../src/report/pareto.ts";
import { headlineTable } from "../src/report/tables.ts";
import { LARGE, withSampleRun as withRun } from "./fixtures/sample_run.ts";

Deno.test("dominates() wants nothing worse and something better", () => {
  assertEquals(dominates([1, 4], [2, 4]), true);
  assertEquals(dominates([2, 4], [2, 4]), false);
  assertEquals(dominates([1, 5], [2, 4]), false);
  assertEquals(dominates([1, 4, -9], [1, 4, -8]), true);
});

Deno.test("paretoFront() keeps what no other variant beats in all three, and judges none without a speed", async () => {
  await withRun(LARGE, async (directory) => {
    const run = await loadRuns([directory]);
    const series = collectSeries(run);
    const front = paretoFront(series)!;
    assertEquals([front.window, front.speedContext], [2048, 4096]);
    const costs = (label: string) => {
      const one = series.find((other) => other.label === label)!;
      return [
        one.perplexity.get(2048)!.value,
        one.cache!.bytesPerToken,
        -one.throughput.get(4096)!.decodeTokensPerSecond,
      ];
    };
    for (const { label } of front.judged) {
      const beaten = [...front.judged].some((other) =>
        costs(other.label).every((cost, i) => cost <= costs(label)[i]!) &&
        costs(other.label).some((cost, i) => cost < costs(label)[i]!)
      );
      assertEquals(
        [...front.front].some((one) => one.label === label),
        !beaten,
        label,
      );
    }
    const slow = series[3]!.label;
    const untimed = collectSeries({
      ...run,
      cells: run.cells.filter(({ measure, variantLabel }) =>
        measure !== "throughput" || variantLabel !== slow
      ),
    });
    const partial = paretoFront(untimed)!;
    assertEquals(partial.unjudged.map(({ label }) => label), [slow]);
    const table = headlineTable(untimed);
    const row = table.rows.find(({ cells }) => cells[0]!.text === slow)!;
    assertEquals(row.cells.at(-1), { text: "–", value: null });
    assertEquals(paretoFront(series, false)!.speedContext, undefined);
  });
});
