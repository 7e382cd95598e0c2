import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CheckpointError } from "../base/errors.ts";
import type { Session } from "../engine/engine.ts";
import type { ModelConfig } from "../model/config.ts";
import type { ModelMoments } from "../model/moments.ts";
import {
  getMoments,
  momentsKey,
  type MomentsRequest,
} from "./moments_cache.ts";

const CONFIG = { numHiddenLayers: 2, hiddenSize: 3 } as ModelConfig;

const REQUEST: MomentsRequest = {
  model: { sha256: "11", config: CONFIG },
  textSha256: "22",
  tokenizerSha256: "33",
  sampling: { samples: 2, tokens: 4, seed: 42 },
  engine: { name: "reference", provider: "cpu", dtype: "f64" },
};

/** Counts how often the model is opened and closed. */
function supplyIn(folder?: string) {
  const calls = { opened: 0, closed: 0 };
  const warnings: string[] = [];
  return {
    calls,
    warnings,
    supply: {
      ...(folder !== undefined && { folder }),
      sequences: () => [Int32Array.of(1, 2), Int32Array.of(3)],
      open: () => {
        calls.opened++;
        const session: Partial<Session> = {
          moments(sequences, sink) {
            for (const tokens of sequences) {
              for (let layer = 0; layer < 2; layer++) {
                const gram = new Float64Array(16).fill(layer + 0.5);
                gram[15] = tokens.length;
                const hidden = new Float32Array(tokens.length * 3).fill(layer);
                sink.add(layer, gram, hidden);
              }
            }
            return Promise.resolve();
          },
          close() {
            calls.closed++;
            return Promise.resolve();
          },
        };
        return Promise.resolve(session as Session);
      },
      warn: (message: string) => warnings.push(message),
    },
  };
}

async function contents(moments: ModelMoments): Promise<number[][]> {
  const all: number[][] = [];
  for (let layer = 0; layer < 2; layer++) {
    const { gram, reservoir, tokens } = await moments.layer(layer);
    all.push([tokens, ...gram.data, reservoir.rows, ...reservoir.data]);
  }
  return all;
}

async function inTemporaryFolder(
  test: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("getMoments() collects once, then reads the same from disk", async () => {
  await inTemporaryFolder(async (folder) => {
    const { calls, supply } = supplyIn(folder);
    const made = await getMoments(REQUEST, supply);
    assertEquals([made.cached, calls.opened, calls.closed], [false, 1, 1]);
    assertEquals(made.moments.sha256, momentsKey(REQUEST));
    const read = await getMoments(REQUEST, supply);
    assertEquals([read.cached, calls.opened], [true, 1]);
    assertEquals(read.moments.tokens, 3);
    assert(read.seconds >= 0);
    const inMemory = await getMoments(REQUEST, supplyIn().supply);
    assertEquals(inMemory.cached, false);
    const expected = await contents(inMemory.moments);
    assertEquals(expected[1]!.slice(0, 3), [3, 3, 3]);
    assertEquals(await contents(made.moments), expected);
    assertEquals(await contents(read.moments), expected);
    const files = [...Deno.readDirSync(join(folder, momentsKey(REQUEST)))];
    assertEquals(files.map((file) => file.name).sort(), [
      "layer-000.moments",
      "layer-001.moments",
    ]);
  });
});

Deno.test("getMoments() finds every kind of damage and makes the moments again", async () => {
  await inTemporaryFolder(async (folder) => {
    const { calls, warnings, supply } = supplyIn(folder);
    const { moments } = await getMoments(REQUEST, supply);
    const expected = await contents(moments);
    const path = join(folder, momentsKey(REQUEST), "layer-001.moments");
    const whole = await Deno.readFile(path);
    const flipped = (at: number) => {
      const bytes = whole.slice();
      bytes[at]! ^= 1;
      return bytes;
    };
    const damaged = [
      new Uint8Array(),
      whole.subarray(0, 5),
      whole.subarray(0, 30),
      whole.subarray(0, whole.length - 1),
      new Uint8Array([...whole, 0]),
      flipped(0),
      flipped(8),
      flipped(11),
      flipped(14),
      flipped(whole.length - 200),
      flipped(whole.length - 1),
    ];
    for (const [index, bytes] of damaged.entries()) {
      await Deno.writeFile(path, bytes);
      await assertRejects(() => moments.layer(1), CheckpointError, "layer-001");
      const again = await getMoments(REQUEST, supply);
      assertEquals([again.cached, calls.opened], [false, index + 2]);
      assertEquals(warnings.length, index + 1);
      assertEquals(await contents(again.moments), expected);
    }
    // Every byte of magic, length and header counts.
    const headerEnd = 12 + new DataView(whole.buffer).getUint32(8, true);
    for (let at = 0; at < headerEnd; at++) {
      await Deno.writeFile(path, flipped(at));
      await assertRejects(() => moments.layer(1), CheckpointError);
    }
    await Deno.remove(path);
    assertEquals((await getMoments(REQUEST, supply)).cached, false);
    assertEquals((await getMoments(REQUEST, supply)).cached, true);
  });
});

Deno.test("momentsKey() changes with everything that moments depend on", () => {
  const { model, sampling, engine } = REQUEST;
  const variants: MomentsRequest[] = [
    REQUEST,
    { ...REQUEST, model: { ...model, sha256: "12" } },
    { ...REQUEST, textSha256: "23" },
    { ...REQUEST, tokenizerSha256: "34" },
    { ...REQUEST, sampling: { ...sampling, samples: 3 } },
    { ...REQUEST, sampling: { ...sampling, tokens: 5 } },
    { ...REQUEST, sampling: { ...sampling, seed: 43 } },
    { ...REQUEST, engine: { ...engine, name: "onnx" } },
    { ...REQUEST, engine: { ...engine, provider: "webgpu" } },
    { ...REQUEST, engine: { ...engine, dtype: "f32" } },
    { ...REQUEST, reservoirRows: 10 },
  ];
  assertEquals(new Set(variants.map(momentsKey)).size, variants.length);
  assertEquals(
    momentsKey({ ...REQUEST, reservoirRows: 4096 }),
    momentsKey(REQUEST),
  );
});

Deno.test("getMoments() keeps moments in memory where the cache cannot be written", async () => {
  const file = await Deno.makeTempFile();
  try {
    const { supply, warnings, calls } = supplyIn(join(file, "moments"));
    const { moments, cached } = await getMoments(REQUEST, {
      ...supply,
      warn: (message: string) => void warnings.push(message),
    });
    assertEquals(cached, false);
    assertEquals((await moments.layer(1)).tokens, 3);
    assertEquals(calls, { opened: 1, closed: 1 });
    assert(warnings.some((line) => line.includes("they stay in memory")));
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("getMoments() makes moments once where several ask at once", async () => {
  await inTemporaryFolder(async (folder) => {
    const asked = Array.from({ length: 3 }, () => supplyIn(folder));
    const results = await Promise.all(
      asked.map(({ supply }) => getMoments(REQUEST, supply)),
    );
    assertEquals(
      asked.map(({ calls }) => calls.opened).sort(),
      [0, 0, 1],
    );
    assertEquals(results.filter(({ cached }) => cached).length, 2);
    const [first, ...others] = await Promise.all(
      results.map(({ moments }) => contents(moments)),
    );
    for (const other of others) assertEquals(other, first);
    const said = asked.flatMap(({ warnings }) => warnings);
    assert(
      said.every((line) => line.startsWith("Waiting for another process")),
    );
    // The lock and what killed processes leave are gone.
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), [
      momentsKey(REQUEST),
    ]);
  });
});

Deno.test("getMoments() removes what a killed process has left of an entry", async () => {
  await inTemporaryFolder(async (folder) => {
    const entry = join(folder, momentsKey(REQUEST));
    await Deno.mkdir(entry);
    await Deno.writeTextFile(join(entry, "layer-000.moments.1.tmp"), "half");
    await getMoments(REQUEST, supplyIn(folder).supply);
    assertEquals([...Deno.readDirSync(entry)].map(({ name }) => name).sort(), [
      "layer-000.moments",
      "layer-001.moments",
    ]);
  });
});
