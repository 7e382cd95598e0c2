// The model in the repository: that it is the one that its card and training.json
// describe, and what must hold for a trained model.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fileDigest } from "../src/checkpoint/file_digest.ts";
import { MODEL_ALIASES } from "../src/checkpoint/model_aliases.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { openEngine } from "../src/engine/open.ts";
import {
  continueGreedily,
  spreadPrompts,
} from "../src/evaluation/continuation.ts";
import { perplexity } from "../src/evaluation/perplexity.ts";
import { loadModel } from "../src/model/load.ts";
import { openText } from "../src/text/open_text.ts";
import { openTokenizer } from "../src/tokenizer/tokenizer_json.ts";
import * as bench from "../mod.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { convert, fullyRotated, logits } from "./fixtures/laws.ts";
import { paperOrderings } from "./fixtures/paper_orderings.ts";
import { requirement } from "./fixtures/requirements.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FOLDER = join(ROOT, "src/checkpoint/embedded");
const MAX_BYTES = 8_000_000;

/** Nats; torch and ONNX Runtime add up f32 products in other orders. */
const NLL_TOLERANCE = 1e-5;

/** Weights rounded to f32, carried through four layers to logits of about 10. */
const F32_LOGITS = 5e-5;

const { files } = MODEL_ALIASES["embedded"]!;
const training = JSON.parse(
  await Deno.readTextFile(join(FOLDER, "training.json")),
);

async function openEmbedded() {
  const checkpoint = await openCheckpoint("embedded");
  return {
    model: loadModel(checkpoint),
    tokenizer: openTokenizer(checkpoint.tokenizerJson!),
    close: () => checkpoint.tensors.close(),
  };
}

Deno.test("the embedded model is what its alias, its card and training.json name, in 8 MB", async () => {
  assertEquals(training.sha256, files);
  const card = await Deno.readTextFile(join(FOLDER, "README.md"));
  for (const [name, sha256] of Object.entries(files)) {
    assertEquals(await fileDigest(join(FOLDER, name)), sha256, name);
    assertStringIncludes(card, sha256);
  }
  const figures = [training.heldOut, ...Object.values(training.test)];
  for (const { perplexity } of figures) {
    assertStringIncludes(card, perplexity.toFixed(2));
  }
  let bytes = 0;
  for (const { name } of Deno.readDirSync(FOLDER)) {
    bytes += (await Deno.stat(join(FOLDER, name))).size;
  }
  assert(bytes <= MAX_BYTES, `the folder has ${bytes} bytes`);
});

Deno.test("the embedded model was trained with the settings that train.py has", async () => {
  const script = await Deno.readTextFile(
    join(ROOT, "bench/embedded_model/train.py"),
  );
  for (const [name, value] of Object.entries(training.settings)) {
    const match = new RegExp(`^    ${name}: \\w+ = (.+)$`, "m").exec(script);
    const found = match?.[1]?.replaceAll('"', "");
    assert(
      typeof value === "number" ? Number(found) === value : found === value,
      `${name} is ${found} in train.py, ${value} in training.json`,
    );
  }
});

Deno.test("openCheckpoint() opens the embedded model, the worked example's heads", async () => {
  const checkpoint = await bench.openCheckpoint("embedded");
  const { config } = bench.loadModel(checkpoint);
  checkpoint.tensors.close();
  assertEquals(checkpoint.sha256, files["model.safetensors"]);
  assertEquals(
    [config.numAttentionHeads, config.numKeyValueHeads, config.headDim],
    [8, 4, 64],
  );
  const { tensors } = await openCheckpoint("embedded");
  for (const { name } of tensors.list()) {
    const { data } = await tensors.read(name);
    assert(data.every(Number.isFinite), name);
  }
  tensors.close();
});

Deno.test("the embedded model's perplexity is that which torch measured on the same windows", async () => {
  const { model, tokenizer, close } = await openEmbedded();
  const ids = tokenizer.encode((await openText("brown/test")).text);
  const engine = await openEngine("onnx");
  const session = await engine.open(model);
  for (
    const [length, { first }] of Object.entries<
      { first: { windows: number; nll: number; tokens: number } }
    >(training.test)
  ) {
    const windowTokens = Number(length);
    const { meanNll, windowNll } = await perplexity(session, ids, {
      windowTokens,
      tokens: first.windows * windowTokens,
    });
    assertEquals(windowNll.length * (windowTokens - 1), first.tokens);
    assertClose([meanNll], [first.nll], {
      atol: NLL_TOLERANCE,
      what: `NLL of windows of ${length} tokens`,
    });
  }
  await engine.close();
  close();
});

Deno.test("conversions of the embedded model that leave nothing out give its logits", async () => {
  const { model, close } = await openEmbedded();
  const engine = await openEngine("onnx");
  const options = { atol: F32_LOGITS };
  assertClose(
    await logits(engine, await fullyRotated(engine, model)),
    await logits(engine, model),
    { ...options, what: "logits with RoPE on all dims" },
  );
  const choice = { freqFold: 2, qkRopeHeadDim: 64 };
  const partial = await convert(engine, model, "partial-rope", choice);
  const full = await convert(engine, model, "transmla", {
    ...choice,
    kvLoraRank: "full",
  });
  assertClose(
    await logits(engine, full.model),
    await logits(engine, partial.model),
    { ...options, what: "logits at full rank" },
  );
  await engine.close();
  close();
});

Deno.test("the embedded model continues text in words of its corpus", async () => {
  const { model, tokenizer, close } = await openEmbedded();
  const ids = tokenizer.encode((await openText("brown/test")).text);
  const prompts = spreadPrompts(ids, {
    prompts: 8,
    promptTokens: 64,
    tokens: ids.length,
  });
  const engine = await openEngine("onnx");
  const session = await engine.open(model);
  const texts = (await continueGreedily(session, prompts, 64))
    .map((tokens) => tokenizer.decode(tokens));
  await engine.close();
  close();
  const { text } = await openText("brown/calibration");
  const known = new Set(wordsOf(text));
  // The first may be the end of a prompt's word, the last is cut.
  const words = texts.flatMap((text) => wordsOf(text).slice(1, -1));
  const share = words.filter((word) => known.has(word)).length / words.length;
  assert(words.length > 200, `${words.length} words: ${texts.join("\n")}`);
  assert(share >= 0.95, `${share} of the words are known: ${texts.join("\n")}`);
});

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[a-z]+/g) ?? [];
}

Deno.test("the paper's orderings on the embedded model are reported", async () => {
  const { balanced, unbalanced, ofWeights } = await paperOrderings("embedded", {
    kvLoraRank: 56,
    samples: 16,
    windows: 8,
  });
  for (const value of [balanced, unbalanced, ofWeights]) {
    assert(value > 1 && value < training.settings.vocab, `${value}`);
  }
  // Too small a model to hold them against it.
  console.log(
    `embedded, F2 m64 r56, perplexity: BKV ${balanced.toFixed(2)}, without ${
      unbalanced.toFixed(2)
    }, PCA of weights ${ofWeights.toFixed(2)}`,
  );
});

Deno.test({
  name:
    "SmolLM2 has the paper's orderings: BKV beats none, activations beat weights",
  ignore: requirement("smollm2").ignore,
  async fn() {
    const { balanced, unbalanced, ofWeights } = await paperOrderings(
      "smollm2-135m-q4_1",
      { kvLoraRank: 56, samples: 8, windows: 2 },
    );
    assert(
      balanced < unbalanced,
      `${balanced} with BKV, ${unbalanced} without`,
    );
    assert(balanced < ofWeights, `${balanced}, of weights ${ofWeights}`);
  },
});
