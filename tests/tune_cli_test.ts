// deno task tune on an adapter that computes on the CPU: what it would time, and a
// run that writes a table.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { checkTuningTable } from "../src/engine/webgpu/kernels/tuning_table.ts";
import { requirement } from "./fixtures/requirements.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";
import { vulkanDriverEnv } from "./fixtures/vulkan_drivers.ts";

const { ignore } = requirement("deno-gpu");

const TINY = [
  "--software",
  "--model",
  "tiny",
  "--latent",
  "32+16",
  "--contexts",
  "32",
  "--prefill",
  "0",
];

Deno.test({
  name: "tune --dry-run lists sizes and shapes and times nothing",
  ignore,
  fn: async () => {
    const { code, stdout, stderr } = await runVerbTask("tune", [
      ...TINY,
      "--batches",
      "1",
      "--dry-run",
      "--json",
    ], vulkanDriverEnv("deno"));
    assertEquals([code, stderr], [0, ""]);
    const sizes: { kernel: string; key: string; shapes: unknown[] }[] = JSON
      .parse(stdout);
    const kernels = new Set(sizes.map(({ kernel }) => kernel));
    assertEquals([...kernels].sort(), ["attention_decode", "gemv"]);
    assert(sizes.some(({ key }) => key === "1x256x64 gated"));
    assert(sizes.every(({ shapes }) => shapes.length > 1));
  },
});

Deno.test({
  name: "tune writes a table of what it timed, and adds to it",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const out = join(folder, "table.json");
    try {
      const keys = async (family: string) => {
        const { code, stderr } = await runVerbTask("tune", [
          ...TINY,
          "--batches",
          "2",
          "--only",
          family,
          "--time-limit",
          "10",
          "--out",
          out,
        ], vulkanDriverEnv("deno"));
        assertEquals(code, 0, stderr);
        assertMatch(stderr, /^written: /m);
        const text = await Deno.readTextFile(out);
        const { kernels } = checkTuningTable(out, JSON.parse(text));
        return Object.keys(kernels).sort();
      };
      const attention = await keys("attention");
      assert(attention.includes("attention_decode_lanes"), `${attention}`);
      assertEquals(await keys("gemv"), [...attention, "gemv"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "tune refuses a file that it could not write before it times anything",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const out = join(folder, "broken.json");
      await Deno.writeTextFile(out, "{");
      const { code, stdout, stderr } = await runVerbTask("tune", [
        ...TINY,
        ...["--batches", "1", "--out", out],
      ], vulkanDriverEnv("deno"));
      assertEquals([code, stdout], [2, ""]);
      assertMatch(
        stderr,
        /^error: Cannot parse .*broken\.json as it is not JSON/,
      );
      assertEquals(await Deno.readTextFile(out), "{");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "what tune has solved when it is interrupted is written",
  ignore: ignore || Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const out = join(folder, "table.json");
    try {
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--quiet", "--no-check", "-A", "src/cli/tune.ts"],
          // Many sizes: it is not through when the first is written.
          ...["--software", "--model", "smollm2-135m", "--only", "gemv"],
          ...["--prefill", "0", "--out", out],
        ],
        env: vulkanDriverEnv("deno"),
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const reader = child.stdout.getReader();
      // A line is printed before its size is written, the next one after that.
      let lines = 0;
      while (lines < 2) {
        const { value, done } = await reader.read();
        assert(!done, "tune ended before two sizes");
        lines += new TextDecoder().decode(value).split("\n").length - 1;
      }
      child.kill("SIGINT");
      await reader.cancel();
      const { success } = await child.status;
      assert(!success);
      const text = await Deno.readTextFile(out);
      const { kernels } = checkTuningTable(out, JSON.parse(text));
      assert(Object.keys(kernels["gemv"] ?? {}).length >= 1);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("tune refuses what it does not know before it opens a GPU", async () => {
  for (
    const [args, message] of [
      [["--model", "constructor"], /option --model: found constructor; allow/],
      [["--latent", "123456+64"], /option --latent: found 123456\+64; allowed/],
      [
        ["--latent", "9999+64"],
        /option --latent: found 9999\+64 with llama-2-7b: Cannot convert with kv/,
      ],
      [["--model", "llama-9"], /option --model: found llama-9; allowed: llama/],
      [["--only", "gemm,conv"], /option --only: found conv; allowed: gemm, /],
      [["--batches", "0"], /option --batches: found 0; allowed: whole numbers/],
      [["--latent", "512"], /option --latent: found 512; allowed: RANK\+ROT/],
      [["7b"], /Cannot take 7b: deno task tune takes options only/],
    ] as const
  ) {
    const { code, stdout, stderr } = await runVerbTask("tune", args);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, message);
  }
});
