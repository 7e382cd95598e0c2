// The onnx engine against the reference engine, on tiny seeded models of every
// attention kind, alone and mixed.

import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { UnavailableError } from "../src/base/errors.ts";
import {
  cacheWidths,
  type DecoderModel,
  type GqaAttention,
} from "../src/model/decoder.ts";
import type { Engine, Session } from "../src/engine/engine.ts";
import { loadModel } from "../src/engine/onnx/loaded_model.ts";
import { OnnxSession } from "../src/engine/onnx/onnx_session.ts";
import { openEngine } from "../src/engine/open.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import {
  checkDivergence,
  checkHidden,
  checkNoDivergence,
} from "./fixtures/divergence_checks.ts";
import {
  onlyLayer,
  PARITY_MODELS,
  rotaryExtremes,
  sumMoments,
} from "./fixtures/parity_models.ts";
import {
  tinyKindsModel,
  type TinyKindsOptions,
} from "./fixtures/tiny_kinds.ts";
import { randomTokens } from "./fixtures/tiny_models.ts";

/** f32 through two or three layers with logits of order 1 to 10. */
const ATOL = 2e-4;

/** Runs `body` on a model in the onnx and the reference engine. */
async function inBoth(
  options: TinyKindsOptions,
  body: (
    onnx: Session,
    reference: Session,
    model: DecoderModel,
  ) => Promise<void>,
): Promise<void> {
  const model = await tinyKindsModel(options);
  const engines = [
    await openEngine("onnx", { threads: 2 }),
    await openEngine("reference"),
  ] as const;
  const onnx = await engines[0].open(model);
  const reference = await engines[1].open(model);
  try {
    await body(onnx, reference, model);
  } finally {
    await onnx.close();
    await reference.close();
    for (const engine of engines) await engine.close();
  }
}

for (const [name, options] of Object.entries(PARITY_MODELS)) {
  Deno.test(`onnx logits() and score() equal the reference's: ${name}`, async () => {
    await inBoth(options, async (onnx, reference) => {
      // One block of queries, and three with a short last one.
      for (const length of [1, 33, 600]) {
        const tokens = randomTokens(length, length, 256);
        const expected = await reference.logits(tokens);
        const actual = await onnx.logits(tokens);
        assertClose(actual, expected, { atol: ATOL, what: `logits ${length}` });
      }
      const batch = [11, 12, 13].map((seed) => randomTokens(seed, 40, 256));
      const expected = await reference.score(batch);
      for (const [b, nll] of (await onnx.score(batch)).entries()) {
        assertEquals(nll.length, 39);
        assertClose(nll, expected[b]!, { atol: ATOL, what: `score ${b}` });
      }
    });
  });

  Deno.test(`onnx hidden() and divergence() equal the reference's: ${name}`, async () => {
    await inBoth(options, async (session, reference, model) => {
      const subject = {
        model,
        session,
        reference,
        atol: ATOL,
        cacheElementBytes: 4,
      };
      await checkHidden(subject);
      await checkDivergence(subject);
      await checkNoDivergence(subject);
    });
  });

  Deno.test(`onnx decode() continues prefill() as one pass would: ${name}`, async () => {
    await inBoth(options, async (onnx, reference, model) => {
      const batch = [21, 22, 23].map((seed) => randomTokens(seed, 17, 256));
      await onnx.prefill(batch, 6);
      const { tokens } = await onnx.decode(4);
      const { stepSeconds } = await onnx.decode(1);
      assertEquals(stepSeconds.length, 1);
      const last = await onnx.lastLogits();
      for (const [b, prompt] of batch.entries()) {
        await reference.prefill([prompt], 5);
        const expected = await reference.decode(5);
        assertEquals(tokens[b], expected.tokens[0]!.subarray(0, 4));
        assertClose(last[b]!, (await reference.lastLogits())[0]!, {
          atol: ATOL,
          what: `last logits ${b}`,
        });
        const whole = Int32Array.of(...prompt, ...expected.tokens[0]!);
        const logits = await onnx.logits(whole);
        assertClose(last[b]!, logits.subarray(-256), {
          atol: ATOL,
          what: `logits of the whole ${b}`,
        });
      }
      let width = 0;
      for (let i = 0; i < model.config.numHiddenLayers; i++) {
        const { first, second } = cacheWidths((await model.layer(i)).attention);
        width += first + second;
      }
      assertEquals(onnx.cache(), {
        tokens: 22,
        batch: 3,
        bytes: width * 4 * 22 * 3,
      });
      await assertRejects(
        () => onnx.decode(2),
        RangeError,
        "Cannot decode as steps must be in 0..1",
      );
    });
  });

  Deno.test(`onnx moments() equal the reference's: ${name}`, async () => {
    await inBoth(options, async (onnx, reference, model) => {
      const tokens = [[31, 20], [32, 9], [33, 20]].map(([seed, length]) =>
        randomTokens(seed!, length!, 256)
      );
      const [actual, expected] = [
        await sumMoments(onnx, model, tokens),
        await sumMoments(reference, model, tokens),
      ];
      for (const [layer, { gram, hidden }] of expected.entries()) {
        const found = actual[layer]!;
        assertEquals(found.hidden.length, 49 * model.config.hiddenSize);
        assertClose(found.gram, gram, {
          atol: 1e-3,
          rtol: 1e-5,
          what: `gram ${layer}`,
        });
        // Batches of equal length come first: only the set of rows is promised.
        assertClose(
          found.hidden.toSorted((a, b) => a - b),
          hidden.toSorted((a, b) => a - b),
          { atol: ATOL, what: `hidden ${layer}` },
        );
      }
    });
  });
}

Deno.test("onnx score() and prefill() do not depend on the batch", async () => {
  await inBoth(PARITY_MODELS["mixed kinds"]!, async (onnx) => {
    // More than one forward pass can hold.
    const batch = [41, 42, 43, 44].map((seed) => randomTokens(seed, 700, 256));
    const scores = await onnx.score(batch);
    await onnx.prefill(batch, 2);
    await onnx.decode(2);
    const logits = await onnx.lastLogits();
    for (const [b, sequence] of batch.entries()) {
      const [alone] = await onnx.score([sequence]);
      assertClose(scores[b]!, alone!, { atol: 1e-5, what: `score ${b}` });
      await onnx.prefill([sequence], 2);
      await onnx.decode(2);
      assertClose(logits[b]!, (await onnx.lastLogits())[0]!, {
        atol: 2e-5,
        what: `logits ${b}`,
      });
    }
  });
});

Deno.test("onnx runs attention that rotates nothing or everything", async () => {
  for (const [name, model] of Object.entries(await rotaryExtremes())) {
    await compare(model, name);
  }
});

/** Scores, decoding and moments of one model against the reference engine. */
async function compare(
  model: DecoderModel,
  what: string,
  { open = openOnnx, atol = ATOL } = {},
): Promise<void> {
  const sessions = [
    await open(model),
    await (await openEngine("reference")).open(model),
  ] as const;
  const [onnx, reference] = sessions;
  const batch = [61, 62].map((seed) => randomTokens(seed, 300, 256));
  const scores = await reference.score(batch);
  for (const [b, nll] of (await onnx.score(batch)).entries()) {
    assertClose(nll, scores[b]!, { atol, what: `score ${b} of ${what}` });
  }
  const original = await reference.hidden(
    [63, 64].map((seed) => randomTokens(seed, 300, 256)),
  );
  const divergences = await reference.divergence(batch, original);
  for (
    const [b, { kl }] of (await onnx.divergence(batch, original)).entries()
  ) {
    assertClose(kl, divergences[b]!.kl, {
      atol: 4 * atol,
      what: `KL ${b} of ${what}`,
    });
  }
  for (const session of sessions) {
    await session.prefill(batch, 2);
    await session.decode(2);
  }
  for (const [b, logits] of (await onnx.lastLogits()).entries()) {
    assertClose(logits, (await reference.lastLogits())[b]!, {
      atol,
      what: `last logits ${b} of ${what}`,
    });
  }
  const wanted = await sumMoments(reference, model, batch);
  for (
    const [i, { gram }] of (await sumMoments(onnx, model, batch)).entries()
  ) {
    assertClose(gram, wanted[i]!.gram, {
      atol: 10 * atol,
      rtol: 1e-4,
      what: `gram ${i} of ${what}`,
    });
  }
  for (const session of sessions) await session.close();
}

async function openOnnx(model: DecoderModel): Promise<Session> {
  return await (await openEngine("onnx", { threads: 2 })).open(model);
}

Deno.test("onnx refuses query heads that key-value heads do not divide", async () => {
  const model = await tinyKindsModel({ seed: 1, kinds: ["gqa"] });
  const layer = await model.layer(0);
  const attention = layer.attention as GqaAttention;
  const engine = await openEngine("onnx");
  await assertRejects(
    () =>
      engine.open(onlyLayer(model, {
        ...layer,
        attention: { ...attention, numKeyValueHeads: 3 },
      })),
    RangeError,
    "numKeyValueHeads must divide numAttentionHeads (4): current value is 3",
  );
});

Deno.test("onnx graphs for GPUs equal the reference on the CPU too", async () => {
  for (const [name, options] of Object.entries(PARITY_MODELS)) {
    await compare(await tinyKindsModel(options), name, {
      open: async (model) =>
        new OnnxSession(await loadModel(model, "webgpu"), { device: "cpu" }),
    });
  }
});

Deno.test("onnx on webgpu equals the reference, or says that there is no adapter", async () => {
  let engine: Engine;
  try {
    engine = await openEngine("onnx", { device: "webgpu" });
  } catch (error) {
    assertInstanceOf(error, UnavailableError);
    assertMatch(
      error.message,
      /^Cannot open the onnx engine on device "webgpu" .*adapter/,
    );
    return;
  }
  const open = (model: DecoderModel) => engine.open(model);
  for (const [name, options] of Object.entries(PARITY_MODELS)) {
    await compare(await tinyKindsModel(options), name, { open, atol: 1e-3 });
  }
  await engine.close();
});

Deno.test("onnx refuses what it cannot run, in one line", async () => {
  await assertRejects(
    () => openEngine("onnx", { dtype: "f16" }),
    RangeError,
    'Cannot open the onnx engine as dtype must be "f32"',
  );
  await assertRejects(
    () => openEngine("onnx", { threads: 0 }),
    RangeError,
    "threads must be a positive integer: current value is 0",
  );
  await inBoth(PARITY_MODELS["gqa"]!, async (onnx) => {
    await assertRejects(
      () => onnx.decode(1),
      RangeError,
      "Cannot decode as nothing was prefilled",
    );
    await assertRejects(
      () => onnx.score([Int32Array.of(1, 256)]),
      RangeError,
      "ids must be in 0..255: current value is 256",
    );
    const ragged = [Int32Array.of(1, 2), Int32Array.of(1)];
    for (const run of [() => onnx.score(ragged), () => onnx.prefill(ragged)]) {
      await assertRejects(run, RangeError, "sequence 1 must have 2 tokens");
    }
    const add = () => {};
    await assertRejects(
      () =>
        onnx.moments(ragged, { add }, {
          tokenWeights: ragged.map(({ length }) => new Float32Array(length)),
        }),
      RangeError,
      "tokenWeights must be left out",
    );
    await assertRejects(
      () => onnx.moments(ragged, { add, attention: add }),
      RangeError,
      "the sink must have no attention()",
    );
  });
});
