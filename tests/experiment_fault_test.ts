// What a run does when its engine fails: a lost device, a software adapter.

import { assertEquals, assertStringIncludes } from "@std/assert";
import type { EngineDescription } from "../src/engine/engine.ts";
import { runPlan } from "../src/experiment/run.ts";
import type { EngineProcess } from "../src/experiment/run_options.ts";
import type {
  CellOutcome,
  WorkerReply,
  WorkerRequest,
} from "../src/experiment/worker_protocol.ts";
import { makeTinyRun, tinyPlan, tinyYaml } from "./fixtures/tiny_run.ts";

const ENGINE: EngineDescription = {
  name: "webgpu",
  provider: "deno",
  dtype: "f32",
  adapter: "a GPU",
  adapterKind: "gpu",
  version: "1",
};

const METRICS = {
  elementsByLayer: [1],
  elementsPerTokenPerLayer: 1,
  bytesPerToken: 4,
  measuredBytes: 4,
  measuredTokens: 1,
  reduction: 0,
};

/** An engine process that answers cells with these outcomes, and tells when it is closed. */
function engineProcess(
  outcomes: Partial<CellOutcome>[],
  closed: () => void,
): EngineProcess {
  return {
    pid: 1,
    request(request: WorkerRequest) {
      const reply: WorkerReply = request.op === "cell"
        ? {
          type: "outcome",
          outcome: {
            status: "ok",
            engine: ENGINE,
            peakMemoryBytes: 1,
            wallSeconds: 1,
            stageSeconds: {},
            calibrationRuns: 0,
            ...outcomes.shift()!,
          },
        }
        : { type: "opened", engine: ENGINE };
      return Promise.resolve(
        reply as Awaited<ReturnType<EngineProcess["request"]>>,
      );
    },
    kill() {},
    close() {
      closed();
      return Promise.resolve();
    },
  };
}

Deno.test("runPlan() opens another engine after a lost device, and none after other failures", async () => {
  const folder = await Deno.makeTempDir({ prefix: "tiny-fault-" });
  try {
    const tiny = await makeTinyRun(folder);
    const plan = await tinyPlan(tinyYaml(tiny, {
      engine: "{ name: webgpu }",
      variants: "[{ method: original }]",
      measure: "{ contexts: [16, 32, 48, 64], cache: {} }",
    }));
    const outcomes: Partial<CellOutcome>[] = [
      { status: "failed", error: "GpuError: a shader" },
      { status: "failed", error: "GpuError: lost", fatal: true },
      { metrics: METRICS },
      { metrics: METRICS },
    ];
    const events: string[] = [];
    const result = await runPlan(plan, {
      out: tiny.out,
      measureRate: false,
      startEngine() {
        events.push("start");
        return engineProcess(outcomes, () => events.push("close"));
      },
      onEvent(event) {
        if (event.type === "cellEnd") events.push(event.record.status);
      },
    });
    assertEquals(events, [
      "start",
      "failed",
      "close",
      "failed",
      "start",
      "ok",
      "ok",
      "close",
    ]);
    assertEquals(result.records.map(({ error }) => error), [
      "GpuError: a shader",
      "GpuError: lost",
      undefined,
      undefined,
    ]);
    // Both starts are in the records, each with the cell that it was for.
    assertEquals(
      result.records.map(({ startSeconds }) => startSeconds !== undefined),
      [true, false, true, false],
    );
    assertEquals(result.records[3]!.engine, {
      name: "webgpu",
      provider: "deno",
      dtype: "f32",
      adapter: "a GPU",
      adapterKind: "gpu",
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("runPlan() fails a cell whose record could not be read again, and says which field", async () => {
  const folder = await Deno.makeTempDir({ prefix: "tiny-fault-" });
  try {
    const tiny = await makeTinyRun(folder);
    const plan = await tinyPlan(tinyYaml(tiny, {
      engine: "{ name: webgpu }",
      variants: "[{ method: original }]",
      measure: "{ contexts: [16, 32], cache: {} }",
    }));
    const outcomes: Partial<CellOutcome>[] = [
      { metrics: { ...METRICS, bytesPerToken: Infinity } },
      { metrics: METRICS },
    ];
    const result = await runPlan(plan, {
      out: tiny.out,
      measureRate: false,
      startEngine: () => engineProcess(outcomes, () => {}),
    });
    assertEquals(result.exitCode, 1);
    assertEquals(result.records.map(({ status }) => status), ["failed", "ok"]);
    assertStringIncludes(
      result.records[0]!.error!,
      "the cell's record as metrics.bytesPerToken is not valid",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
