import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import denoJson from "../deno.json" with { type: "json" };
import { InputError } from "../src/base/errors.ts";
import { bench } from "./bench.ts";
import { describeCase } from "./kernel_report.ts";
import { checkWritable } from "./output_file.ts";
import { describeProfile, type Profile } from "./profile_report.ts";
import { benchKernels } from "./webgpu_kernels.ts";

Deno.test("benchKernels() refuses what would time nothing, before it opens a GPU", async () => {
  const cases: [string[], string][] = [
    [["--only", "gemmm"], "--only: gemmm matches no case; kernels: "],
    [["gemm"], "Cannot take gemm"],
    [["--no-bench"], "without --parity"],
    [["--json", "/nowhere/kernels.json"], "Cannot write /nowhere/kernels.json"],
    [["--software=yes"], "--software takes no value"],
  ];
  for (const [args, message] of cases) {
    const error = await assertRejects(() => benchKernels(args), InputError);
    assertStringIncludes(error.message, message);
  }
});

Deno.test("bench() has the benches that the task's description names", async () => {
  const { message } = await assertRejects(() => bench(["x"]), InputError);
  const { description } = denoJson.tasks.bench;
  const named = description.split("bench ").slice(1).join(" ");
  assertEquals(
    named.match(/[a-z]{2,}/g)?.sort(),
    message.split("must be one of ")[1]?.split(", ").sort(),
  );
});

Deno.test("describeCase() calls a yardstick one and loses no digits of slow kernels", () => {
  const timing = {
    label: "rows 16 f32",
    rowSeconds: 1e-3,
    bytes: 2e5,
    flops: 3e6,
    dispatches: 1,
    copies: 2,
    rotatedBytes: 4e5,
  };
  assertEquals(
    describeCase("gemm", { ...timing, yardstick: true }, 1e10, { f32: 6e9 }),
    "yardstick gemm: rows 16 f32  1000.0 us, 0.200 GB/s (2.0 % of copy), 0.00300 TFLOPS, 2 in 0.400 MB",
  );
  assertStringIncludes(
    describeCase("gemv", timing, 1e10, { f32: 6e9 }),
    "0.00300 TFLOPS (50 % of GEMM)",
  );
});

Deno.test("checkWritable() leaves what was there, and nothing where there was nothing", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const fresh = join(folder, "fresh.json");
    await checkWritable(fresh);
    await assertRejects(() => Deno.stat(fresh), Deno.errors.NotFound);
    const old = join(folder, "old.json");
    await Deno.writeTextFile(old, "kept");
    await checkWritable(old);
    assertEquals(await Deno.readTextFile(old), "kept");
    await assertRejects(() => checkWritable(folder), InputError);
    if (Deno.build.os !== "windows") {
      await assertRejects(
        () => checkWritable("/dev/null"),
        InputError,
        "Cannot write /dev/null: it is not a file",
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("describeProfile() has a row for each kernel, with shares of the device's time", () => {
  const profile: Profile = {
    adapter: {
      provider: "deno",
      name: "Some GPU",
      vendor: "",
      driver: "",
      software: false,
      subgroupSize: 32,
      limits: {
        maxBufferSize: 1,
        maxStorageBufferBindingSize: 1,
        maxComputeWorkgroupStorageSize: 1,
        maxComputeInvocationsPerWorkgroup: 1,
        maxComputeWorkgroupsPerDimension: 1,
      },
    },
    model: "synthetic:tiny",
    dtype: "f32",
    cacheDtype: "f16",
    copyBytesPerSecond: 2e12,
    passes: [{
      kind: "decode",
      batch: 2,
      tokens: 64,
      wallSeconds: 5e-3,
      deviceSeconds: 4.5e-3,
      kernels: [
        {
          name: "gemv 8x8 f16",
          dispatches: 3,
          seconds: 3e-3,
          bytes: 3e9,
          flops: 6e9,
        },
        { name: "embed", dispatches: 1, seconds: 1e-3, bytes: 1e6, flops: 0 },
      ],
    }, {
      kind: "score",
      batch: 1,
      tokens: 64,
      wallSeconds: 1e-3,
      deviceSeconds: 1e-3,
      kernels: [],
    }],
  };
  const lines = describeProfile(profile).split("\n");
  assertEquals(lines.slice(0, 6), [
    "synthetic:tiny, weights in f32, cache in f16",
    "deno: Some GPU, a copy moves 2,000 GB/s, shapes: defaults",
    "",
    "A decode step of batch 2 after 64 tokens: 400 tokens/s",
    "  on the wall 5.00 ms, on the device 4.50 ms; its 4 dispatches by kernel 4.00 ms: 125.0 us of gap each",
    "  the bytes alone 1.50 ms: 30.0 % of that limit, 33.3 % on the device",
  ]);
  assertEquals(lines.slice(7, 9).map((line) => line.split(/ {2,}/)), [
    [
      "gemv 8x8 f16",
      "3",
      "3.00",
      "75.0 %",
      "3,000",
      "1,000",
      "50.0 %",
      "6.00",
      "2.00",
    ],
    ["embed", "1", "1.00", "25.0 %", "1.00", "1.00", "0.1 %", "–", "–"],
  ]);
  assertEquals(lines[10], "Scoring 1 x 64 tokens: 64,000 tokens/s");
  const failed = [
    { kind: "decode", batch: 9, tokens: 8, error: "out of memory" },
  ] as const;
  assertEquals(
    describeProfile({ ...profile, failed }).split("\n").at(-1),
    "Decoding 9 x 8 tokens FAILED: out of memory",
  );
});
