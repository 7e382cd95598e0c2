// Conversions against the official code: every partial.* and mla.* entry of the
// golden folder, calibrated in both passes on the folder's ids.

import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { openSafetensors } from "../src/checkpoint/safetensors.ts";
import type { Conversion } from "../src/conversion/method.ts";
import { methodByName } from "../src/conversion/methods/mod.ts";
import type { Engine, EngineName } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/open.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { loadModel } from "../src/model/load.ts";
import { assertClose } from "./fixtures/assert_close.ts";
import { testContext } from "./fixtures/conversion_context.ts";
import {
  comparableLogits,
  type GoldenEntry,
  type GoldenModel,
  openGolden,
} from "./fixtures/golden.ts";
import { requirement, type RequirementName } from "./fixtures/requirements.ts";

/** Largest differences that an engine's arithmetic explains. */
interface Tolerance {
  /** Absolute. */
  readonly logits: number;
  /** Of ratios and energies, relative. */
  readonly statistics: number;
  /** What the engine needs and a machine may lack. */
  readonly needs?: RequirementName;
}

const ENGINES: Readonly<Partial<Record<EngineName, Tolerance>>> = {
  // f64, but weights are f32 and so are RMSNorm and cos and sin of the goldens.
  reference: { logits: 5e-5, statistics: 1e-6 },
  // f32 throughout.
  onnx: { logits: 2e-4, statistics: 1e-5 },
  webgpu: { logits: 2e-4, statistics: 1e-5, needs: "deno-gpu" },
};

const golden = openGolden();

Deno.test("the golden folder holds partial and MLA entries of every model", () => {
  assert(golden.models.length > 0);
  for (const model of golden.models) {
    const names = [...model.entries.keys()];
    assert(names.some((name) => name.startsWith("partial.")), model.kind);
    assert(names.some((name) => name.startsWith("mla.")), model.kind);
  }
});

for (const [name, tolerance] of Object.entries(ENGINES)) {
  const { needs } = tolerance;
  const ignore = needs !== undefined && requirement(needs).ignore;
  for (const kind of golden.models) {
    Deno.test({
      name: `${name}: conversions of ${kind.kind} equal the official code's`,
      ignore,
      async fn() {
        const engine = await openEngine(name as EngineName);
        const model = await openTiny(kind);
        const context = testContext(engine, { sequences: golden.calibration });
        for (const [entry, expected] of kind.entries) {
          const options = optionsOf(entry);
          if (options === undefined) continue;
          const method = methodByName(options.method);
          const parsed = method.options.parse(options.options);
          method.check(parsed, model.config);
          const conversion = await method.convert(model, parsed, context);
          checkReports(entry, conversion, expected, tolerance.statistics);
          await checkLogits(engine, kind, entry, conversion, tolerance.logits);
        }
        await engine.close();
      },
    });
  }
}

async function openTiny(kind: GoldenModel): Promise<DecoderModel> {
  const path = `${kind.folder}/model.safetensors`;
  const sha256 = createHash("sha256").update(await Deno.readFile(path))
    .digest("hex");
  return loadModel({
    id: kind.kind,
    format: "safetensors",
    configJson: JSON.parse(
      await Deno.readTextFile(`${kind.folder}/config.json`),
    ),
    tensors: await openSafetensors(path),
    sha256,
    files: [],
  }, { keep: true });
}

/** "mla.m16.F2.r24.bkv1" as a method's options; undefined for the original. */
function optionsOf(
  entry: string,
): { method: string; options: Record<string, unknown> } | undefined {
  const match = /^(partial|mla)\.m(\d+)\.F(\d+)(?:\.r(\d+)\.bkv([01]))?$/.exec(
    entry,
  );
  if (match === null) {
    assertEquals(entry, "orig", `unknown golden entry ${entry}`);
    return undefined;
  }
  const [, stage, m, F, r, bkv] = match;
  const rotary = { qkRopeHeadDim: Number(m), freqFold: Number(F) };
  return stage === "partial" ? { method: "partial-rope", options: rotary } : {
    method: "transmla",
    options: { ...rotary, kvLoraRank: Number(r), balanceKv: bkv === "1" },
  };
}

function checkReports(
  entry: string,
  { layers }: Conversion,
  { layers: expected }: GoldenEntry,
  rtol: number,
): void {
  if (expected === undefined) return;
  assertEquals(layers.length, expected.length);
  const close = (
    what: string,
    actual: (number | undefined)[],
    golden: number[],
  ) =>
    assertClose(actual.map((value) => value ?? NaN), golden, {
      atol: 0,
      rtol,
      what: `${entry} ${what}`,
    });
  close(
    "BKV ratio",
    layers.map((layer) => layer.keyValueRatio),
    expected.map((layer) => layer.bkv_ratio),
  );
  close(
    "kept energy",
    layers.map((layer) => layer.keptEnergy),
    expected.map((layer) => layer.kept_energy),
  );
  close(
    "total energy",
    layers.map((layer) => layer.totalEnergy),
    expected.map((layer) => layer.total_energy),
  );
}

async function checkLogits(
  engine: Engine,
  kind: GoldenModel,
  entry: string,
  { model }: Conversion,
  atol: number,
): Promise<void> {
  const expected = await kind.logits(entry);
  const session = await engine.open(model);
  for (const [sequence, tokens] of golden.evaluation.entries()) {
    const pair = comparableLogits(
      await session.logits(tokens),
      expected,
      sequence,
    );
    assertClose(pair.actual, pair.expected, {
      atol,
      what: `${kind.kind} ${entry} sequence ${sequence}`,
    });
  }
  await session.close();
}
