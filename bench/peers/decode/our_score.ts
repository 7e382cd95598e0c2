// A whole text scored by the webgpu engine, at several numbers of windows a call.

import { openModel } from "../../../src/experiment/inputs.ts";
import { note } from "../../../src/cli/terminal.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import type { DecodeEvent } from "./events.ts";
import { SCORE_BATCHES, type ScoreJob, WINDOWS } from "./job.ts";

/**
 * Scores all windows at each batch, after one pass that is not timed.
 *
 * @param engine Where.
 * @param job What.
 */
export async function scorePass(
  engine: Engine,
  job: ScoreJob,
): Promise<DecodeEvent> {
  const windows = WINDOWS.parse(
    JSON.parse(await Deno.readTextFile(job.windows)),
  )
    .map((ids) => Int32Array.from(ids));
  const windowTokens = windows[0]!.length;
  const { model, close } = await openModel([job.model]);
  try {
    const session = await engine.open(model);
    const batches = [];
    // In one call, passes follow each other without a wait.
    const sizes = SCORE_BATCHES.filter((batch) => batch < windows.length);
    for (const batch of [...sizes, windows.length]) {
      await session.score(windows.slice(0, batch));
      const started = performance.now();
      let sum = 0;
      let count = 0;
      for (let first = 0; first < windows.length; first += batch) {
        for (
          const nll of await session.score(windows.slice(first, first + batch))
        ) {
          sum = nll.reduce((total, value) => total + value, sum);
          count += nll.length;
        }
      }
      const seconds = (performance.now() - started) / 1000;
      batches.push({
        batch,
        tokensPerSecond: windows.length * windowTokens / seconds,
        perplexity: Math.exp(sum / count),
      });
      note(`scored ${windows.length} windows, ${batch} a call`);
    }
    await session.close();
    return { event: "score", windows: windows.length, windowTokens, batches };
  } finally {
    close();
  }
}
