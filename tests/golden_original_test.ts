// The original models of the golden folder: loading and each engine's forward
// pass against the logits of Hugging Face's implementation.

import { assertAlmostEquals } from "@std/assert";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { openEngine } from "../src/engine/open.ts";
import type { EngineName, Session } from "../src/engine/engine.ts";
import { loadModel } from "../src/model/load.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import {
  comparableLogits,
  type GoldenModel,
  openGolden,
} from "./fixtures/golden.ts";
import { requirement, type RequirementName } from "./fixtures/requirements.ts";

/** An engine, and the largest difference of a logit that its arithmetic explains. */
interface Subject {
  readonly atol: number;
  /** Of the mean negative log-likelihood. */
  readonly meanAtol: number;
  /** What the engine needs and a machine may lack. */
  readonly needs?: RequirementName;
}

const ENGINES: Readonly<Record<EngineName, Subject>> = {
  // f64, but the golden logits carry f32 rounding of RMSNorm, cos and sin (about 2e-6).
  reference: { atol: 2e-5, meanAtol: 1e-6 },
  // f32 throughout.
  onnx: { atol: 2e-4, meanAtol: 1e-5 },
  webgpu: { atol: 2e-4, meanAtol: 1e-5, needs: "deno-gpu" },
};

const golden = openGolden();

async function withSession(
  model: GoldenModel,
  name: EngineName,
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const checkpoint = await openCheckpoint(model.folder);
  try {
    const engine = await openEngine(name);
    await use(await engine.open(loadModel(checkpoint)));
    await engine.close();
  } finally {
    checkpoint.tensors.close();
  }
}

for (const [engine, { atol, meanAtol, needs }] of Object.entries(ENGINES)) {
  const ignore = needs !== undefined && requirement(needs).ignore;
  for (const model of golden.models) {
    if (!model.entries.has("orig")) continue;
    const within = (use: (session: Session) => Promise<void>) =>
      withSession(model, engine as EngineName, use);

    Deno.test({
      name: `${engine}: Session.logits() of golden ${model.kind} orig`,
      ignore,
      async fn() {
        const expected = await model.logits("orig");
        await within(async (session) => {
          for (const [b, tokens] of golden.evaluation.entries()) {
            const pair = comparableLogits(
              await session.logits(tokens),
              expected,
              b,
            );
            assertClose(pair.actual, pair.expected, {
              atol,
              what: `sequence ${b}`,
            });
          }
        });
      },
    });

    Deno.test({
      name: `${engine}: Session.score() of golden ${model.kind} orig`,
      ignore,
      async fn() {
        await within(async (session) => {
          const scores = await session.score(golden.evaluation);
          const all = scores.flatMap((nll) => [...nll]);
          const mean = all.reduce((sum, nll) => sum + nll, 0) / all.length;
          assertAlmostEquals(mean, model.entries.get("orig")!.nll, meanAtol);
        });
      },
    });

    Deno.test({
      name:
        `${engine}: Session.prefill() of golden ${model.kind} orig ends in the last logits`,
      ignore,
      async fn() {
        const expected = await model.logits("orig");
        const [, positions, vocabSize] = expected.shape as [
          number,
          number,
          number,
        ];
        await within(async (session) => {
          await session.prefill(golden.evaluation);
          for (const [b, last] of (await session.lastLogits()).entries()) {
            const end = (b + 1) * positions * vocabSize;
            assertClose(last, expected.data.subarray(end - vocabSize, end), {
              atol,
              what: `sequence ${b}`,
            });
          }
        });
      },
    });
  }
}
