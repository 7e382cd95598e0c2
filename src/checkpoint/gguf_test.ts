import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { openGguf } from "./gguf.ts";
import { buildGguf, f32Tensor, withFile } from "./testdata/build_gguf.ts";

const KEYS = [
  ["general.architecture", { string: "llama" }],
  ["llama.block_count", { u32: 2 }],
  ["llama.big", { u64: 5n }],
  ["tokens", { strings: ["a", "é"] }],
  ["types", { i32s: [1, 3] }],
  ["flag", { bool: true }],
  ["theta", { f32: 0.5 }],
] as const;
const TENSORS = [
  f32Tensor("a", [2, 3], [1, 2, 3, 4, 5, 6]),
  f32Tensor("b", [2], [-1, 0.5]),
];

async function refused(
  bytes: Uint8Array,
  part: string,
  errorClass: new (message: string) => Error = CheckpointError,
): Promise<void> {
  await withFile(bytes, ".gguf", async (path) => {
    await assertRejects(() => openGguf(path), errorClass, part);
  });
}

for (const version of [2, 3]) {
  Deno.test(`openGguf() reads metadata and tensors of version ${version}`, async () => {
    await withFile(
      buildGguf(KEYS, TENSORS, version),
      ".gguf",
      async (path) => {
        const { metadata, tensors } = await openGguf(path);
        assertEquals([...metadata.keys()], KEYS.map(([key]) => key));
        assertEquals(metadata.get("llama.big"), 5);
        assertEquals(metadata.get("tokens"), ["a", "é"]);
        assertEquals(tensors.list().map(({ name, shape }) => [name, shape]), [
          ["a", [2, 3]],
          ["b", [2]],
        ]);
        assertEquals(
          (await tensors.read("a")).data,
          Float32Array.of(1, 2, 3, 4, 5, 6),
        );
        assertEquals((await tensors.read("b")).data, Float32Array.of(-1, 0.5));
        await assertRejects(() => tensors.read("c"), CheckpointError, '"c"');
        tensors.close();
      },
    );
  });
}

Deno.test("openGguf() refuses every truncation of a file", async () => {
  const whole = buildGguf(KEYS, [TENSORS[0]!]);
  // The padding after the last tensor, 8 bytes here, may be missing.
  for (let length = 0; length < whole.length - 8; length++) {
    await withFile(whole.subarray(0, length), ".gguf", async (path) => {
      const error = await assertRejects(() => openGguf(path)) as Error;
      assert(
        error instanceof CheckpointError,
        `length ${length}: ${error.name} ${error.message}`,
      );
    });
  }
});

Deno.test("openGguf() refuses keys that would vanish", async () => {
  const twice = [...KEYS, ["flag", { bool: true }]] as const;
  await refused(
    buildGguf(twice, TENSORS),
    'metadata "flag"',
  );
  const proto = [...KEYS, ["__proto__", { u32: 1 }]] as const;
  await refused(buildGguf(proto, TENSORS), "the key is reserved");
  const odd = ["0", "version", "kv_count", "constructor"];
  await withFile(
    buildGguf(
      [...KEYS, ...odd.map((key) => [key, { u32: 1 }] as const)],
      TENSORS,
    ),
    ".gguf",
    async (path) => {
      const { metadata, tensors } = await openGguf(path);
      for (const key of odd) assertEquals(metadata.get(key), 1);
      tensors.close();
    },
  );
});

Deno.test("openGguf() refuses what is no GGUF, other versions and impossible counts", async () => {
  await refused(
    new TextEncoder().encode("GGML".padEnd(64)),
    "begins with GGUF",
  );
  await refused(buildGguf(KEYS, TENSORS, 1), "version", UnsupportedModelError);
  await refused(buildGguf(KEYS, TENSORS, 4), "version", UnsupportedModelError);
  const many = buildGguf(KEYS, TENSORS);
  new DataView(many.buffer).setBigUint64(8, 1n << 40n, true);
  await refused(many, "do not fit");
});

Deno.test("openGguf() refuses tensors that are unknown, misplaced or impossible", async () => {
  const [a, b] = TENSORS;
  await refused(buildGguf(KEYS, [a!, { ...b!, name: "a" }]), "there twice");
  await refused(buildGguf(KEYS, [a!, { ...b!, offset: 0 }]), "overlap");
  await refused(buildGguf(KEYS, [{ ...a!, offset: 8 }]), "multiple of 32");
  await refused(buildGguf(KEYS, [{ ...a!, offset: 3200 }]), "truncated");
  await refused(buildGguf(KEYS, [{ ...a!, shape: [2 ** 31, 2 ** 31] }]), '"a"');
  await refused(buildGguf(KEYS, [{ ...a!, shape: [0, 3] }]), "[0,3]");
  await refused(buildGguf(KEYS, [{ ...a!, type: 8 }]), "multiples of 32");
  await refused(buildGguf(KEYS, [{ ...a!, type: 999 }]), "unknown");
  await refused(
    buildGguf(KEYS, [{ ...a!, type: 16 }]),
    "IQ2_XXS",
    UnsupportedModelError,
  );
  await refused(
    buildGguf([...KEYS, ["general.alignment", { u32: 48 }]], TENSORS),
    "power of 2",
  );
  await refused(
    buildGguf([...KEYS, ["split.count", { u32: 2 }]], TENSORS),
    "split GGUF",
    UnsupportedModelError,
  );
});

Deno.test("openGguf() refuses weights that are not finite when they are read", async () => {
  const bytes = buildGguf(KEYS, [f32Tensor("a", [2], [1, NaN])]);
  await withFile(bytes, ".gguf", async (path) => {
    const { tensors } = await openGguf(path);
    const error = await assertRejects(
      () => tensors.read("a"),
      CheckpointError,
    ) as Error;
    assertStringIncludes(error.message, "element 1 is NaN");
    tensors.close();
  });
});
