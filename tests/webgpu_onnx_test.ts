// The webgpu engine against the onnx engine, without the reference between them:
// whoever changes --engine must see the same numbers.

import { assertEquals } from "@std/assert";
import type { Session } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/open.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { PARITY_MODELS, rotaryExtremes } from "./fixtures/parity_models.ts";
import { requirement } from "./fixtures/requirements.ts";
import { tinyKindsModel } from "./fixtures/tiny_kinds.ts";
import { randomTokens } from "./fixtures/tiny_models.ts";

const { ignore } = requirement("deno-gpu");

const ATOL = 2e-4;

async function compare(model: DecoderModel): Promise<void> {
  const webgpu = await openEngine("webgpu");
  const onnx = await openEngine("onnx", { threads: 2 });
  try {
    const sessions = [
      await webgpu.open(model),
      await onnx.open(model),
    ] as const;
    await compareSessions(...sessions);
  } finally {
    await webgpu.close();
    await onnx.close();
  }
}

async function compareSessions(webgpu: Session, onnx: Session): Promise<void> {
  const tokens = randomTokens(71, 70, 256);
  assertClose(await webgpu.logits(tokens), await onnx.logits(tokens), {
    atol: ATOL,
    what: "logits",
  });
  const batch = [72, 73].map((seed) => randomTokens(seed, 21, 256));
  const decoded = [];
  for (const session of [webgpu, onnx]) {
    await session.prefill(batch, 6);
    decoded.push((await session.decode(6)).tokens);
  }
  assertEquals(decoded[0], decoded[1]);
  const last = await onnx.lastLogits();
  for (const [b, logits] of (await webgpu.lastLogits()).entries()) {
    assertClose(logits, last[b]!, { atol: ATOL, what: `last logits ${b}` });
  }
  assertEquals(webgpu.cache(), onnx.cache());
}

for (const [name, options] of Object.entries(PARITY_MODELS)) {
  Deno.test({
    name: `webgpu equals onnx: ${name}`,
    ignore,
    fn: async () => await compare(await tinyKindsModel(options)),
  });
}

Deno.test({
  name: "webgpu equals onnx where nothing or everything rotates",
  ignore,
  fn: async () => {
    for (const model of Object.values(await rotaryExtremes())) {
      await compare(model);
    }
  },
});
