import { createHash } from "node:crypto";
import { assertEquals, assertRejects } from "@std/assert";
import {
  CheckpointError,
  InputError,
  UnavailableError,
} from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import { refuseOtherBytes } from "./alias_files.ts";
import { MODEL_ALIASES } from "./model_aliases.ts";
import { openCheckpoint, openFirstCheckpoint } from "./open.ts";
import { writeCheckpointWeights } from "./safetensors_writer.ts";
import { buildGguf, f32Tensor } from "./testdata/build_gguf.ts";

const CONFIG = { model_type: "llama", hidden_size: 8 };
const ITEMS = ["a", "b"].map((name) => ({
  name,
  shape: [2],
  dtype: "f32" as const,
  read: () => tensor(Float32Array.of(1, 2), [2]),
}));
const GGUF = buildGguf([
  ["general.architecture", { string: "llama" }],
  ["llama.embedding_length", { u32: 8 }],
  ["llama.attention.head_count", { u32: 2 }],
], [f32Tensor("token_embd.weight", [2, 8], new Array(16).fill(1))]);

async function inFolder(
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const sha256 = (bytes: Uint8Array | string) =>
  createHash("sha256").update(bytes).digest("hex");

Deno.test("openCheckpoint() opens a folder with safetensors, one or sharded", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(CONFIG));
    await writeCheckpointWeights(folder, ITEMS, { maxShardBytes: 8 });
    const sharded = await openCheckpoint(folder);
    assertEquals(sharded.id, folder);
    assertEquals(sharded.format, "safetensors");
    assertEquals(sharded.configJson, CONFIG);
    assertEquals(sharded.tokenizerJson, undefined);
    assertEquals(sharded.files.length, 2);
    for (const { name, bytes, sha256: digest } of sharded.files) {
      const content = await Deno.readFile(`${folder}/${name}`);
      assertEquals([bytes, digest], [content.length, sha256(content)]);
    }
    assertEquals(
      sharded.sha256,
      sha256(sharded.files.map((file) => file.sha256).join("\n")),
    );
    assertEquals((await sharded.tensors.read("b")).data, Float32Array.of(1, 2));
    sharded.tensors.close();

    await writeCheckpointWeights(folder, ITEMS);
    await Deno.writeTextFile(`${folder}/tokenizer.json`, '{"version":"1.0"}');
    const single = await openCheckpoint(folder);
    assertEquals(single.files.map(({ name }) => name), ["model.safetensors"]);
    assertEquals(single.sha256, single.files[0]!.sha256);
    assertEquals(single.tokenizerJson, { version: "1.0" });
    single.tensors.close();
    const again = await openCheckpoint(folder, { knownFiles: single.files });
    assertEquals(again.files, single.files);
    again.tensors.close();
  });
});

Deno.test("openCheckpoint() opens a GGUF file and a folder with one", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.gguf`;
    await Deno.writeFile(path, GGUF);
    for (const location of [path, folder]) {
      const checkpoint = await openCheckpoint(location);
      assertEquals(checkpoint.id, location);
      assertEquals(checkpoint.format, "gguf");
      assertEquals(checkpoint.configJson["hidden_size"], 8);
      assertEquals(checkpoint.sha256, sha256(GGUF));
      assertEquals(checkpoint.tensors.has("model.embed_tokens.weight"), true);
      checkpoint.tensors.close();
    }
    await Deno.writeFile(`${folder}/y.gguf`, GGUF);
    await assertRejects(
      () => openCheckpoint(folder),
      InputError,
      "x.gguf, y.gguf",
    );
  });
});

Deno.test("openCheckpoint() says what a folder lacks", async () => {
  await inFolder(async (folder) => {
    await assertRejects(() => openCheckpoint(folder), InputError, "has none");
    await writeCheckpointWeights(folder, ITEMS);
    await assertRejects(
      () => openCheckpoint(folder),
      InputError,
      "no config.json",
    );
    await Deno.writeTextFile(`${folder}/config.json`, '{"a":1,"a":2}');
    await assertRejects(() => openCheckpoint(folder), CheckpointError, "twice");
    await assertRejects(
      () => openCheckpoint(`${folder}/missing.gguf`),
      InputError,
      "smollm2-135m-q4_1",
    );
  });
});

Deno.test("openCheckpoint() refuses cached weights that are not the alias's", async () => {
  await inFolder(async (cache) => {
    const folder = `${cache}/models/smollm2-135m-q4_1`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeFile(`${folder}/SmolLM2-135M-Instruct.Q4_1.gguf`, GGUF);
    await assertRejects(
      () => openCheckpoint("smollm2-135m-q4_1", { cache }),
      CheckpointError,
      "b179c9523d0e",
    );
    // Cut off, as by a disk that was full.
    await Deno.truncate(`${folder}/SmolLM2-135M-Instruct.Q4_1.gguf`, 100);
    await assertRejects(
      () => openCheckpoint("smollm2-135m-q4_1", { cache }),
      CheckpointError,
      "remove the folder to download it again",
    );
  });
});

Deno.test("openFirstCheckpoint() takes the first that can be had and says why not the others", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.gguf`;
    await Deno.writeFile(path, GGUF);
    const missing = `${folder}/missing`;
    const { checkpoint, failures } = await openFirstCheckpoint([missing, path]);
    checkpoint.tensors.close();
    assertEquals(checkpoint.id, path);
    assertEquals(failures.map(({ location }) => location), [missing]);
    await assertRejects(
      () => openFirstCheckpoint([missing, `${missing}2`]),
      UnavailableError,
      "missing2",
    );
    // A broken file is not passed over in silence.
    await Deno.writeFile(path, GGUF.subarray(0, 100));
    await assertRejects(() => openFirstCheckpoint([path]), CheckpointError);
  });
});

Deno.test("openCheckpoint() opens a model of the repository without a cache or a download", async () => {
  await inFolder(async (cache) => {
    const checkpoint = await openCheckpoint("embedded", { cache });
    checkpoint.tensors.close();
    assertEquals(checkpoint.id, "embedded");
    assertEquals(checkpoint.configJson["hidden_size"], 256);
    assertEquals([...Deno.readDirSync(cache)], []);
  });
});

Deno.test("openCheckpoint() refuses an alias whose config.json or tokenizer.json is another", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(CONFIG));
    await writeCheckpointWeights(folder, ITEMS);
    const opened = await openCheckpoint(folder);
    const { files } = MODEL_ALIASES["embedded"]!;
    // The weights pass: what is beside them is hashed, too.
    const checkpoint = {
      ...opened,
      files: opened.files.map((file) => ({
        ...file,
        sha256: files["model.safetensors"]!,
      })),
    };
    await assertRejects(
      () => refuseOtherBytes(checkpoint, "embedded", folder),
      CheckpointError,
      `${folder}/config.json must be ${files["config.json"]}`,
    );
  });
});
