// The real tokenizer on the real text against what the reference
// implementations gave (golden/text/README.md): token ids of both splits and
// the official code's calibration sequences.

import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import {
  sampleCalibration,
  sampleHeldOut,
} from "../src/calibration/sampler.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { openText } from "../src/text/open_text.ts";
import { assertDisjoint } from "../src/text/splits.ts";
import { windows } from "../src/text/windows.ts";
import type { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { openTokenizer } from "../src/tokenizer/tokenizer_json.ts";
import goldenCalibration from "./golden/text/calibration-ids.json" with {
  type: "json",
};
import goldenTokens from "./golden/text/token-ids.json" with { type: "json" };
import { requirement } from "./fixtures/requirements.ts";

const ignore = requirement("smollm2").ignore ||
  requirement("wikitext-2").ignore;

let opened: Promise<Tokenizer> | undefined;

/** The tokenizer of the GGUF, opened once for all tests. */
function smolLm2(): Promise<Tokenizer> {
  opened ??= (async () => {
    const checkpoint = await openCheckpoint("smollm2-135m-q4_1");
    try {
      assert(checkpoint.tokenizerJson !== undefined, "a GGUF has a tokenizer");
      return openTokenizer(checkpoint.tokenizerJson);
    } finally {
      checkpoint.tensors.close();
    }
  })();
  return opened;
}

/** sha256 of the ids as int32 little-endian. */
function sha256(ids: Int32Array): string {
  const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}

const SPLITS = [
  ["wikitext-2/validation", goldenTokens.valid],
  ["wikitext-2/test", goldenTokens.test],
] as const;

for (const [name, golden] of SPLITS) {
  Deno.test({
    name: `encode() of ${name} gives the reference implementation's ids`,
    ignore,
    async fn() {
      const tokenizer = await smolLm2();
      const text = await openText(name);
      assertEquals(text.sha256, golden.text_sha256);
      const ids = tokenizer.encode(text.text);
      assertEquals(ids.length, golden.tokens);
      assertEquals([...ids.subarray(0, golden.first.length)], golden.first);
      assertEquals([...ids.subarray(-golden.last.length)], golden.last);
      assertEquals(sha256(ids), golden.sha256_int32le);
      assertEquals(tokenizer.decode(ids) === text.text, true);
      assertEquals(
        windows(ids, 2048).length,
        Math.floor(golden.tokens / 2048),
      );
    },
  });
}

Deno.test({
  name: "sampleCalibration() draws the official code's sequences",
  ignore,
  async fn() {
    const { samples, tokens, seed, text, sequences } = goldenCalibration;
    const drawn = sampleCalibration(
      await openText(text),
      await smolLm2(),
      { samples, tokens, seed },
    );
    assertEquals(drawn.length, samples);
    for (const [i, ids] of drawn.entries()) {
      const golden = sequences[i]!;
      assertEquals([...ids.subarray(0, 4)], golden.first, `sequence ${i}`);
      assertEquals([...ids.subarray(-4)], golden.last, `sequence ${i}`);
      assertEquals(sha256(ids), golden.sha256_int32le, `sequence ${i}`);
    }
    const all = Int32Array.from(drawn.flatMap((ids) => [...ids]));
    assertEquals(sha256(all), goldenCalibration.sha256_int32le);
  },
});

Deno.test({
  name: "sampleHeldOut() leaves room for windows of the model's whole context",
  ignore,
  async fn() {
    const { samples, tokens, seed, text } = goldenCalibration;
    const source = await openText(text);
    const tokenizer = await smolLm2();
    const options = { samples, tokens, seed };
    const heldOut = { windows: 8, windowTokens: 8192 };
    const drawn = sampleHeldOut(source, tokenizer, options, heldOut);
    assertEquals(drawn.map((ids) => ids.length), Array(8).fill(8192));
    // No long row of a calibration sequence shows up in a window.
    const windowText = drawn.map((ids) => tokenizer.decode(ids)).join("\n");
    const shared = sampleCalibration(source, tokenizer, options)
      .flatMap((ids) => tokenizer.decode(ids).split("\n"))
      .filter((row) => row.length >= 80 && windowText.includes(row));
    assertEquals(shared, []);
  },
});

Deno.test({
  name: "assertDisjoint() accepts WikiText-2's validation and test splits",
  ignore: requirement("wikitext-2").ignore,
  async fn() {
    assertDisjoint(
      await openText("wikitext-2/validation"),
      await openText("wikitext-2/test"),
    );
  },
});
