// The original models of the golden folder: loading and the reference forward
// pass against the logits of Hugging Face's implementation.

import { assertAlmostEquals } from "@std/assert";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { openEngine } from "../src/engine/open.ts";
import type { Session } from "../src/engine/engine.ts";
import { loadModel } from "../src/model/load.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import {
  comparableLogits,
  type GoldenModel,
  openGolden,
} from "./fixtures/golden.ts";

// The golden logits carry f32 rounding of RMSNorm, cos and sin (about 2e-6).
const ATOL = 2e-5;

const golden = openGolden();

async function withSession(
  model: GoldenModel,
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const checkpoint = await openCheckpoint(model.folder);
  try {
    const engine = await openEngine("reference");
    await use(await engine.open(loadModel(checkpoint)));
  } finally {
    checkpoint.tensors.close();
  }
}

for (const model of golden.models) {
  if (!model.entries.has("orig")) continue;
  Deno.test(`Session.logits() of golden ${model.kind} orig`, async () => {
    const expected = await model.logits("orig");
    await withSession(model, async (session) => {
      for (const [b, tokens] of golden.evaluation.entries()) {
        const pair = comparableLogits(
          await session.logits(tokens),
          expected,
          b,
        );
        assertClose(pair.actual, pair.expected, {
          atol: ATOL,
          what: `sequence ${b}`,
        });
      }
    });
  });

  Deno.test(`Session.score() of golden ${model.kind} orig`, async () => {
    await withSession(model, async (session) => {
      const scores = await session.score(golden.evaluation);
      const all = scores.flatMap((nll) => [...nll]);
      const mean = all.reduce((sum, nll) => sum + nll, 0) / all.length;
      assertAlmostEquals(mean, model.entries.get("orig")!.nll, 1e-6);
    });
  });

  Deno.test(`Session.prefill() of golden ${model.kind} orig ends in the last logits`, async () => {
    const expected = await model.logits("orig");
    const [, positions, vocabSize] = expected.shape as [number, number, number];
    await withSession(model, async (session) => {
      await session.prefill(golden.evaluation);
      for (const [b, last] of (await session.lastLogits()).entries()) {
        const end = (b + 1) * positions * vocabSize;
        assertClose(last, expected.data.subarray(end - vocabSize, end), {
          atol: ATOL,
          what: `sequence ${b}`,
        });
      }
    });
  });
}
