// `deno task convert` and `deno task verify` on tiny folders.

import { join } from "node:path";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { CERTIFICATE } from "../src/cli/certificate.ts";
import { convert } from "../src/cli/convert.ts";
import { loadLatentModel } from "../src/cli/latent_checkpoint.ts";
import { verify } from "../src/cli/verify.ts";
import { writeTinyFolder } from "./fixtures/tiny_folder.ts";

const OPTIONS = ["--freq-fold=2", "--qk-rope-head-dim=8", "--kv-lora-rank=24"];
const CALIBRATION = ["--samples=8", "--tokens=64", "--engine=reference"];

Deno.test("convert() writes a folder that verify() confirms, with and without biases", async () => {
  for (const kind of ["llama", "qwen2"] as const) {
    await withTiny(kind, async ({ model, out }) => {
      await run(convert, [model, "--out", out, ...OPTIONS, ...CALIBRATION]);
      const { code, text } = await run(verify, [out]);
      assertEquals(code, 0, text);
      assertEquals(text.match(/^ok/gm)?.length, 7, text);
      assertEquals(text.trimEnd().split("\n").at(-1), "7 checks hold");
      const certificate = await certificateOf(out);
      assertEquals(certificate.cache, {
        originalNumbersPerTokenAndLayer: 64,
        numbersPerTokenAndLayer: 32,
        bytesPerToken: 2 * 32 * 4,
      });
      // f32 stores the model as it is, but for the rounding of scaled queries.
      assert(certificate.probe.storageError < 1e-5);
    });
  }
});

Deno.test("convert() names tensors as DeepSeek does, a block for each query head", async () => {
  await withTiny("qwen2", async ({ model, out }) => {
    await run(convert, [model, "--out", out, ...OPTIONS, ...CALIBRATION]);
    const checkpoint = await openCheckpoint(out);
    const shapes = Object.fromEntries(
      checkpoint.tensors.list()
        .filter(({ name }) => name.startsWith("model.layers.1.self_attn."))
        .map(({ name, shape }) => [name.slice(25), shape.join()]),
    );
    checkpoint.tensors.close();
    assertEquals(shapes["q_proj.weight"], `${4 * (16 + 8)},64`);
    assertEquals(shapes["q_proj.bias"], `${4 * (16 + 8)}`);
    assertEquals(shapes["kv_a_proj_with_mqa.weight"], "32,64");
    assertEquals(shapes["kv_a_proj_with_mqa.bias"], "32");
    assertEquals(shapes["kv_b_proj.weight"], `${4 * (16 + 16)},24`);
    assertEquals(shapes["o_proj.weight"], "64,64");
    assertEquals(checkpoint.configJson["model_type"], "deepseek_v3");
    assertEquals(checkpoint.configJson["kv_lora_rank"], 24);
    const { block } = loadLatentModel(checkpoint);
    assertEquals(block.rotaryFrequencies.length, 4);
    const card = await Deno.readTextFile(join(out, "README.md"));
    assertStringIncludes(card, "| cached numbers a token and layer | 64 | 32 ");
    assertStringIncludes(card, block.original.sha256);
  });
});

Deno.test("convert() with bf16 says how much storing changed", async () => {
  await withTiny("llama", async ({ model, out }) => {
    const args = [model, "--out", out, ...OPTIONS, ...CALIBRATION];
    await run(convert, [...args, "--dtype", "bf16"]);
    const { probe } = await certificateOf(out);
    assert(probe.storageError > 1e-6 && probe.storageError < 0.1);
    assertEquals((await run(verify, [out])).code, 0);
  });
});

Deno.test("verify() finds a changed weight and a false certificate", async () => {
  await withTiny("llama", async ({ model, out }) => {
    await run(convert, [model, "--out", out, ...OPTIONS, ...CALIBRATION]);
    const path = join(out, "certificate.json");
    const truth = await Deno.readTextFile(path);
    const certificate = JSON.parse(truth);
    certificate.cache.numbersPerTokenAndLayer = 16;
    certificate.probe.nll[0][0] += 0.01;
    await Deno.writeTextFile(path, JSON.stringify(certificate));
    const lying = await run(verify, [out]);
    assertEquals(lying.code, 1);
    assertEquals(lying.text.match(/^FAILED.*/gm)?.length, 3, lying.text);

    await Deno.writeTextFile(path, truth);
    const weights = await Deno.readFile(join(out, "model.safetensors"));
    weights[weights.length - 2]! ^= 0x40;
    await Deno.writeFile(join(out, "model.safetensors"), weights);
    const changed = await run(verify, [out]);
    assertEquals(changed.code, 1);
    assertStringIncludes(changed.text, "FAILED  weight files");
    assertStringIncludes(changed.text, "FAILED  norms of all tensors");
  });
});

Deno.test("convert() refuses a full folder, wrong options and methods without a latent", async () => {
  await withTiny("llama", async ({ model, out }) => {
    const args = (...more: string[]) => [model, "--out", out, ...more];
    await assertRejects(() => convert([model]), InputError, "--out");
    await assertRejects(
      () => convert(args("--kv-lora-rnk=8")),
      InputError,
      "kv-lora-rank",
    );
    await assertRejects(
      () => convert(args()),
      InputError,
      "option --kv-lora-rank is required: r, width of the latent",
    );
    await assertRejects(
      () => convert(args("--kv-lora-rank=few")),
      InputError,
      "kvLoraRank",
    );
    await assertRejects(
      () => convert(args(...CALIBRATION, "--method=original")),
      Error,
      "attention must be latent",
    );
    await Deno.mkdir(out);
    await Deno.writeTextFile(join(out, "notes.txt"), "");
    await assertRejects(
      () => convert(args(...OPTIONS)),
      InputError,
      "notes.txt",
    );
  });
});

Deno.test("verify() says what it was given instead of a converted folder", async () => {
  await withTiny("llama", async ({ model, out }) => {
    for (
      const [path, found] of [
        [out, "no such folder"],
        [model, "it has no certificate.json"],
        [join(model, "config.json"), "a file"],
      ] as const
    ) await assertRejects(() => verify([path]), InputError, found);
  });
});

async function certificateOf(folder: string) {
  const path = join(folder, "certificate.json");
  return CERTIFICATE.parse(JSON.parse(await Deno.readTextFile(path)));
}

async function withTiny(
  kind: "llama" | "qwen2",
  test: (paths: { model: string; out: string }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "transmla-convert-" });
  const cache = Deno.env.get("TRANSMLA_CACHE");
  Deno.env.set("TRANSMLA_CACHE", join(folder, "cache"));
  try {
    const model = join(folder, "model");
    await writeTinyFolder(model, kind);
    await test({ model, out: join(folder, "out") });
  } finally {
    if (cache === undefined) Deno.env.delete("TRANSMLA_CACHE");
    else Deno.env.set("TRANSMLA_CACHE", cache);
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs a verb and takes what it prints. */
async function run(
  verb: (args: readonly string[]) => Promise<number>,
  args: readonly string[],
): Promise<{ code: number; text: string }> {
  const { stdout } = Deno;
  const write = stdout.writeSync;
  let text = "";
  stdout.writeSync = (bytes) => {
    text += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  try {
    return { code: await verb(args), text };
  } finally {
    stdout.writeSync = write;
  }
}
