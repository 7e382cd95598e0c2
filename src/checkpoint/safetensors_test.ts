import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  CheckpointError,
  ShapeError,
  UnsupportedModelError,
} from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import { openSafetensors, openSafetensorsIndex } from "./safetensors.ts";
import {
  type TensorToWrite,
  writeCheckpointWeights,
  writeSafetensors,
} from "./safetensors_writer.ts";
import { withFile } from "./testdata/build_gguf.ts";

function item(
  name: string,
  shape: readonly number[],
  values: readonly number[],
  dtype: TensorToWrite["dtype"] = "f32",
): TensorToWrite {
  const data = Float32Array.from(values);
  return { name, shape, dtype, read: () => tensor(data, shape) };
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A file of a given header text and number of data bytes. */
function withHeader(header: string, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

async function refused(bytes: Uint8Array, part: string): Promise<void> {
  await withFile(bytes, ".safetensors", async (path) => {
    await assertRejects(() => openSafetensors(path), CheckpointError, part);
  });
}

const ITEMS = [
  item("a", [2, 3], [1, -2, 0.5, 4, 5, 6]),
  item("b", [3], [1, -2.5, 65504], "f16"),
  item("c", [], [1.5], "bf16"),
  item("d", [0, 4], []),
];

Deno.test("writeSafetensors() writes what openSafetensors() reads", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    const written = await writeSafetensors(path, ITEMS);
    assertEquals(written.name, "x.safetensors");
    assertEquals(written.bytes, (await Deno.stat(path)).size);
    const source = await openSafetensors(path);
    assertEquals(
      source.list().map(({ name, storedType }) => `${name} ${storedType}`),
      ["a F32", "b F16", "d F32", "c BF16"].sort(),
    );
    for (const { name, shape, read } of ITEMS) {
      assertEquals(await source.read(name), {
        shape,
        data: (await read()).data,
      });
    }
    source.close();
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  });
});

Deno.test("writeSafetensors() rounds bf16 to nearest even", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    // 1 + 2^-8 is half way between 1 and 1 + 2^-7; 1 + 3·2^-8 between 1 + 2^-7 and 1 + 2^-6.
    await writeSafetensors(path, [
      item("a", [2], [1 + 2 ** -8, 1 + 3 * 2 ** -8], "bf16"),
    ]);
    const source = await openSafetensors(path);
    assertEquals(
      (await source.read("a")).data,
      Float32Array.of(1, 1 + 2 ** -6),
    );
    source.close();
  });
});

Deno.test("writeSafetensors() leaves an old file alone when it fails", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    const { sha256 } = await writeSafetensors(path, ITEMS);
    for (
      const [bad, errorClass] of [
        [item("e", [1], [NaN]), RangeError],
        [item("e", [1], [70000], "f16"), RangeError],
        [item("a", [1], [1]), RangeError],
        [{ ...item("e", [2], [1, 2]), shape: [1] }, ShapeError],
      ] as const
    ) {
      await assertRejects(
        () => writeSafetensors(path, [...ITEMS, bad]),
        errorClass,
        `"${bad.name}"`,
      );
    }
    assertEquals([...Deno.readDirSync(folder)].length, 1);
    assertEquals((await writeSafetensors(`${path}2`, ITEMS)).sha256, sha256);
  });
});

Deno.test("writeCheckpointWeights() writes shards with an index", async () => {
  await inFolder(async (folder) => {
    const files = await writeCheckpointWeights(folder, ITEMS, {
      maxShardBytes: 24,
    });
    assertEquals(files.map(({ name }) => name), [
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
    ]);
    const { tensors, shards } = await openSafetensorsIndex(folder);
    assertEquals(shards, files.map(({ name }) => name));
    for (const { name, read } of ITEMS) {
      assertEquals((await tensors.read(name)).data, (await read()).data);
    }
    tensors.close();
  });
});

Deno.test("openSafetensorsIndex() refuses an index that does not fit its shards", async () => {
  await inFolder(async (folder) => {
    await writeSafetensors(`${folder}/one.safetensors`, [item("a", [1], [1])]);
    const index = async (weightMap: unknown) => {
      await Deno.writeTextFile(
        `${folder}/model.safetensors.index.json`,
        JSON.stringify({ weight_map: weightMap }),
      );
      return openSafetensorsIndex(folder);
    };
    for (
      const shard of [
        "../one.safetensors",
        "/one.safetensors",
        "sub/one.safetensors",
        "..\\one.safetensors",
        "one.bin",
        7,
      ]
    ) {
      await assertRejects(
        () => index({ a: shard }),
        CheckpointError,
        "same folder",
      );
    }
    await assertRejects(
      () => index({ a: "one.safetensors", b: "one.safetensors" }),
      CheckpointError,
      '"b"',
    );
    await assertRejects(() => index(3), CheckpointError, "weight_map");
    await writeSafetensors(`${folder}/one.safetensors`, [
      item("a", [1], [1]),
      item("b", [1], [1]),
    ]);
    await assertRejects(
      () => index({ a: "one.safetensors" }),
      CheckpointError,
      "does not list",
    );
  });
});

Deno.test("openSafetensorsIndex() follows links of Hugging Face's cache, and no others", async () => {
  await inFolder(async (folder) => {
    for (const [place, name] of [["blobs", "0a1b"], ["elsewhere", "0a1b"]]) {
      const snapshot = `${folder}/${place}/repo/snapshots/c0ffee`;
      await Deno.mkdir(snapshot, { recursive: true });
      const target = place === "blobs"
        ? `${folder}/${place}/repo/blobs`
        : `${folder}/${place}/repo/other`;
      await Deno.mkdir(target);
      await writeSafetensors(`${target}/${name}`, [item("a", [1], [7])]);
      await Deno.symlink(`${target}/${name}`, `${snapshot}/one.safetensors`);
      await Deno.writeTextFile(
        `${snapshot}/model.safetensors.index.json`,
        '{"weight_map":{"a":"one.safetensors"}}',
      );
      if (place === "blobs") {
        const { tensors } = await openSafetensorsIndex(snapshot);
        assertEquals((await tensors.read("a")).data, Float32Array.of(7));
        tensors.close();
      } else {
        await assertRejects(
          () => openSafetensorsIndex(snapshot),
          CheckpointError,
          "one.safetensors links to",
        );
      }
    }
  });
});

Deno.test("openSafetensors() refuses every truncation of a file", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    await writeSafetensors(path, ITEMS);
    const whole = await Deno.readFile(path);
    for (let length = 0; length < whole.length; length += 3) {
      await refused(whole.subarray(0, length), "Cannot read");
    }
    const longer = new Uint8Array(whole.length + 1);
    longer.set(whole);
    await refused(longer, "the file has");
  });
});

const entry = (shape: string, offsets: string, dtype = '"F32"') =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;

Deno.test("openSafetensors() refuses headers that contradict themselves", async () => {
  const cases: readonly [header: string, dataBytes: number, part: string][] = [
    [`{"a":${entry("[2]", "[0,8]")},`, 8, "not JSON"],
    [`[1]`, 0, "begin with {"],
    [`{"a":${entry("[2]", "[0,8]")},"a":${entry("[2]", "[0,8]")}}`, 8, "twice"],
    [`{"__proto__":${entry("[2]", "[0,8]")}}`, 8, "__proto__"],
    [`{"a":3}`, 0, "not an object"],
    [`{"a":${entry("[2]", "[0,8]", '"F31"')}}`, 8, "dtype is unknown"],
    [`{"a":${entry("[2]", "[0,8]", '"toString"')}}`, 8, "dtype is unknown"],
    [`{"a":${entry("[-2]", "[0,8]")}}`, 8, "not a list of sizes"],
    [`{"a":${entry("[1.5]", "[0,6]")}}`, 6, "not a list of sizes"],
    [`{"a":${entry("[2]", "[0]")}}`, 8, "not two byte numbers"],
    [`{"a":${entry("[2]", "[8,0]")}}`, 8, "outside"],
    [`{"a":${entry("[2]", "[8,16]")}}`, 8, "outside"],
    [`{"a":${entry("[3]", "[0,8]")}}`, 8, "takes 12 bytes"],
    [
      `{"a":${entry("[4294967296,4294967296,16]", "[0,0]")}}`,
      0,
      "too many elements",
    ],
    [
      `{"a":${entry("[2]", "[0,8]")},"b":${entry("[2]", "[4,12]")}}`,
      12,
      "overlap",
    ],
    [
      `{"a":${entry("[1]", "[0,4]")},"b":${entry("[1]", "[8,12]")}}`,
      12,
      "holes",
    ],
    [`{"a":${entry("[1]", "[0,4]")}}`, 8, "the file has"],
  ];
  for (const [header, dataBytes, part] of cases) {
    await refused(withHeader(header, dataBytes), part);
  }
});

Deno.test("openSafetensors() refuses a header length that the file does not bear out", async () => {
  for (const length of [0n, 1n, 1000n, 2n ** 63n]) {
    const bytes = withHeader("{}", 0);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    await refused(bytes, "length must be");
  }
});

Deno.test("openSafetensors() refuses other dtypes by name when they are read", async () => {
  const header = `{"a":${entry("[8]", "[0,8]", '"F8_E4M3"')}}`;
  await withFile(withHeader(header, 8), ".safetensors", async (path) => {
    const source = await openSafetensors(path);
    await assertRejects(
      () => source.read("a"),
      UnsupportedModelError,
      "F8_E4M3",
    );
    await assertRejects(() => source.read("b"), CheckpointError, '"b"');
    source.close();
    assert(!source.has("b"));
  });
});
