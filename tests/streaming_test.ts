// Models larger than memory: what is alive does not grow with the layers.

import { assert, assertEquals } from "@std/assert";
import { loadModel } from "../src/engine/onnx/loaded_model.ts";
import { OnnxSession } from "../src/engine/onnx/onnx_session.ts";
import { streamMoments } from "../src/calibration/moments.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { tinyModel } from "./fixtures/tiny_models.ts";

const CHILD = new URL("./fixtures/live_bytes_child.ts", import.meta.url);

/** Bytes of one layer of the child's model in f32. */
const LAYER_BYTES = 4 * (256 * 1024 * 3 + 256 * 64 * 4);

async function peakBytes(layers: number, folder: string): Promise<number> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "-A",
      "--v8-flags=--expose-gc",
      CHILD.pathname,
      String(layers),
      folder,
    ],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout)).peak;
}

Deno.test("calibrating and scoring layer by layer takes as much memory for 24 layers as for 4", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const few = await peakBytes(4, folder);
    const many = await peakBytes(24, folder);
    // Kept, 20 more layers would be 66 MB, and their moments 12 MB.
    assert(
      many < few + LAYER_BYTES,
      `${many} bytes with 24 layers, ${few} with 4`,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("layers that are read whenever they run give the kept ones' scores and moments", async () => {
  const model = tinyModel({ seed: 4, numHiddenLayers: 3, bias: true });
  const reads: number[] = [];
  const counting: DecoderModel = {
    ...model,
    layer(index) {
      reads.push(index);
      return model.layer(index);
    },
  };
  // Of unequal lengths, and more than one pass of 8 sequences.
  const sequences = Array.from(
    { length: 11 },
    (_, s) => Int32Array.from({ length: 8 + s % 2 }, (_, t) => (s * t) % 256),
  );
  const results = [];
  for (const keep of [true, false]) {
    const loaded = await loadModel(counting, "cpu", { keep });
    const session = new OnnxSession(loaded, { device: "cpu" });
    reads.length = 0;
    const moments: unknown[] = [];
    await streamMoments(
      session,
      sequences,
      model.config,
      { seed: 1, reservoirRows: 10 },
      (layer, own) => {
        // A layer is handed over before the next is read.
        if (!keep) assertEquals(reads, [0, 1, 2].slice(0, layer + 1));
        moments.push(own);
      },
    );
    const even = sequences.filter(({ length }) => length === 8);
    const scores = await session.score(even);
    await session.prefill([even[0]!], 2);
    const { tokens } = await session.decode(2);
    results.push({ moments, scores, tokens });
    await session.close();
  }
  assertEquals(results[1], results[0]);
});
