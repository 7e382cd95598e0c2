import { assertEquals } from "@std/assert";
import { withoutVarying } from "../../tests/fixtures/without_varying.ts";
import { isVarying } from "./varying_fields.ts";

Deno.test("isVarying() takes times at any depth, and no figure of the model", () => {
  for (
    const path of [
      "startedAt",
      "wallSeconds",
      "stageSeconds.opening",
      "metrics.calibrationWallSeconds",
      "metrics.decodeTokensPerSecond",
      "metrics.p50Ms",
      "metrics.kernels.3.seconds",
      "metrics.requests.sampledSteps.0.ms",
      "metrics.roofline.fraction",
      "peakMemoryBytes",
    ]
  ) assertEquals(isVarying(path), true, path);
  for (
    const path of [
      "cell",
      "error",
      "metrics.value",
      "metrics.windowNll.3",
      "metrics.measuredBytes",
      "metrics.memoryBytes",
      "metrics.memory.scratchBytes",
      "metrics.requests.outputTokens",
      "metrics.items",
    ]
  ) assertEquals(isVarying(path), false, path);
});

Deno.test("withoutVarying() leaves the rest of a record as it is", () => {
  const record = {
    cell: "a",
    wallSeconds: 1,
    stageSeconds: { opening: 1 },
    metrics: {
      value: 2,
      windowNll: [1, null],
      layers: [{ p50Ms: 1, layer: 0 }],
    },
  };
  assertEquals(withoutVarying(record) as unknown, {
    cell: "a",
    metrics: { value: 2, windowNll: [1, null], layers: [{ layer: 0 }] },
  });
  assertEquals(record.wallSeconds, 1);
});
