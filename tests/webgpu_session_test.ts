// Sessions of the webgpu engine used in ways that one call after another does
// not show: overlapping calls, closing in the midst of work, and what no binding
// of the device holds.

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Engine, Session } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/open.ts";
import { GpuError } from "../src/engine/webgpu/device/faults.ts";
import { WebgpuSession } from "../src/engine/webgpu/webgpu_session.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import type { MomentsSink } from "../src/model/moments.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { requirement } from "./fixtures/requirements.ts";
import { tinyKindsModel } from "./fixtures/tiny_kinds.ts";
import { randomTokens, tinyModel } from "./fixtures/tiny_models.ts";

const { ignore } = requirement("deno-gpu");

const KINDS = { seed: 51, kinds: ["mla", "gqa"] } as const;

async function withSessions(
  model: DecoderModel,
  body: (session: Session, reference: Session, engine: Engine) => Promise<void>,
): Promise<void> {
  const engine = await openEngine("webgpu");
  const reference = await openEngine("reference");
  try {
    await body(
      await engine.open(model),
      await reference.open(model),
      engine,
    );
  } finally {
    await engine.close();
    await reference.close();
  }
}

/** Gram matrices by layer, of the latest call. */
function collector(): { sink: MomentsSink; grams: Float64Array[] } {
  const grams: Float64Array[] = [];
  return { grams, sink: { add: (layer, gram) => void (grams[layer] = gram) } };
}

Deno.test({
  name: "webgpu moments() that overlap are each right",
  ignore,
  fn: async () =>
    await withSessions(
      await tinyKindsModel(KINDS),
      async (session, reference) => {
        const inputs = [61, 62, 63].map((
          seed,
        ) => [randomTokens(seed, 20, 256)]);
        const found = inputs.map(collector);
        await Promise.all(
          inputs.map((tokens, i) => session.moments(tokens, found[i]!.sink)),
        );
        for (const [i, tokens] of inputs.entries()) {
          const expected = collector();
          await reference.moments(tokens, expected.sink);
          for (const [layer, gram] of expected.grams.entries()) {
            assertClose(found[i]!.grams[layer]!, gram, {
              atol: 1e-3,
              rtol: 1e-5,
              what: `gram ${layer} of call ${i}`,
            });
          }
        }
      },
    ),
});

Deno.test({
  name: "webgpu decode() that overlaps keeps to the room of the cache",
  ignore,
  fn: async () =>
    await withSessions(
      await tinyKindsModel(KINDS),
      async (session, reference) => {
        const prompts = [64, 65].map((seed) => randomTokens(seed, 5, 256));
        await session.prefill(prompts, 4);
        const [first, second] = await Promise.allSettled([
          session.decode(3),
          session.decode(3),
        ]);
        assertEquals(first.status, "fulfilled");
        assertEquals(second.status, "rejected");
        assertEquals(session.cache().tokens, 8);
        await reference.prefill(prompts, 4);
        await reference.decode(3);
        const expected = await reference.lastLogits();
        for (const [b, logits] of (await session.lastLogits()).entries()) {
          assertClose(logits, expected[b]!, {
            atol: 2e-4,
            what: `logits ${b}`,
          });
        }
      },
    ),
});

Deno.test({
  name: "webgpu sessions close after the calls before, and open no more then",
  ignore,
  fn: async () =>
    await withSessions(
      await tinyKindsModel(KINDS),
      async (session, _, engine) => {
        const tokens = [randomTokens(66, 40, 256)];
        const score = session.score(tokens);
        const prefills = [session.prefill(tokens), session.prefill(tokens, 2)];
        const closed = session.close();
        assertEquals((await score)[0]!.length, 39);
        await Promise.all(prefills);
        await closed;
        await assertRejects(() => session.score(tokens), TypeError, "closed");
        await engine.close();
        const model = await tinyKindsModel(KINDS);
        await assertRejects(() => engine.open(model), TypeError, "closed");
      },
    ),
});

Deno.test({
  name: "webgpu scores a vocabulary whose logits no binding holds",
  ignore,
  fn: async () => {
    const model = tinyModel({
      seed: 52,
      hiddenSize: 8,
      headDim: 4,
      numAttentionHeads: 2,
      numHiddenLayers: 1,
      vocabSize: 151_936,
    });
    await withSessions(model, async (session, reference) => {
      const tokens = [randomTokens(67, 300, model.config.vocabSize)];
      const [expected] = await reference.score(tokens);
      assertClose((await session.score(tokens))[0]!, expected!, {
        atol: 2e-4,
        what: "score",
      });
      const logits = await session.logits(tokens[0]!);
      assertEquals(logits.length, 300 * model.config.vocabSize);
      assert(logits.every(Number.isFinite));
    });
  },
});

Deno.test({
  name: "webgpu says that a layer's cache is over what a binding holds",
  ignore,
  fn: async () =>
    await withSessions(
      await tinyKindsModel(KINDS),
      async (session, reference) => {
        const tokens = [randomTokens(68, 5, 256)];
        const error = await assertRejects(
          () => session.prefill(tokens, 2 ** 30),
          GpuError,
          "GPU out of memory: one layer's cache first must be <= ",
        );
        assertEquals(error.kind, "out-of-memory");
        const [expected] = await reference.score(tokens);
        assertClose((await session.score(tokens))[0]!, expected!, {
          atol: 2e-4,
          what: "score after",
        });
      },
    ),
});

Deno.test({
  name: "webgpu refuses weights that f16 cannot hold, by value",
  ignore,
  fn: async () => {
    const engine = await openEngine("webgpu", { dtype: "f16" });
    try {
      const model = await tinyKindsModel(KINDS);
      const layer = await model.layer(0);
      layer.mlp.upProj.weight.data[3] = 70000;
      await assertRejects(
        () => engine.open(model),
        RangeError,
        "as f16 as they must be within +-65504: current value is 70000",
      );
    } finally {
      await engine.close();
    }
  },
});

Deno.test({
  name:
    "webgpu profileStep() leaves the cache and its next tokens as they were",
  ignore,
  fn: async () =>
    await withSessions(
      await tinyKindsModel(KINDS),
      async (session, _reference, engine) => {
        await assertRejects(
          async () => await session.profileStep!(),
          RangeError,
          "nothing was prefilled",
        );
        const prompts = [4, 7].map((n) => randomTokens(66, n, 256));
        await session.prefill(prompts, 6);
        const first = await session.decode(2);
        const logits = await session.lastLogits();
        const held = session.cache();
        const kernels = await session.profileStep!();
        assert(session instanceof WebgpuSession);
        assert(await session.timeSteps(2) > 0);
        await assertRejects(
          async () => await session.timeSteps(5),
          RangeError,
          "room for 4",
        );
        assertEquals(await session.lastLogits(), logits);
        assertEquals(session.cache(), held);
        const rest = await session.decode(4);
        await assertRejects(
          async () => await session.profileStep!(),
          RangeError,
          "no room",
        );
        await session.prefill(prompts, 6);
        const { tokens } = await session.decode(6);
        assertEquals(
          [0, 1].map((b) => [...first.tokens[b]!, ...rest.tokens[b]!]),
          tokens.map((each) => [...each]),
        );
        assert(kernels.every(({ seconds }) => seconds > 0));
        assert(kernels.some(({ name, bytes, flops }) =>
          name.startsWith("attention_decode") && bytes > 0 && flops > 0
        ));
        assert(await engine.copyBandwidth!() > 0);
      },
    ),
});
