// deno task bench profile on an adapter that computes on the CPU: what it refuses,
// short contexts, and a pass that fails among others.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import type { Profile } from "../bench/profile_report.ts";
import { requirement } from "./fixtures/requirements.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";
import { vulkanDriverEnv } from "./fixtures/vulkan_drivers.ts";

const { ignore } = requirement("deno-gpu");

Deno.test({
  name:
    "bench profile keeps the passes beside one that fails, and exits with 1",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const out = join(folder, "profile.json");
      const { code, stdout, stderr } = await runVerbTask("bench", [
        ...["profile", "synthetic:tiny", "--software", "--steps", "4"],
        // The second takes more than a binding holds.
        ...["--decode", "1x1,60000x60000,2x64", "--score", "1x16"],
        ...["--kv-lora-rank", "16", "--qk-rope-head-dim", "8", "--out", out],
      ], vulkanDriverEnv("deno"));
      assertEquals(code, 1, stderr);
      assertMatch(stdout, /^Decoding 60000 x 60000 tokens FAILED: /m);
      const { passes, failed }: Profile = JSON.parse(
        await Deno.readTextFile(out),
      );
      assertEquals(
        passes.map(({ kind, batch, tokens }) => [kind, batch, tokens]),
        // After one token there are 4 steps of warm-up and 2 before the middle.
        [["decode", 1, 7], ["decode", 2, 64], ["score", 1, 16]],
      );
      assert(passes.every(({ wallSeconds }) => wallSeconds > 0));
      assertEquals(failed?.map(({ batch }) => batch), [60000]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("bench profile refuses what it cannot time before it opens a GPU", async () => {
  const tiny = "synthetic:tiny";
  for (
    const [args, message] of [
      [[tiny, "--decode", "none", "--score", "none"], /found none for both/],
      [[tiny, "--decode", "1x99999999"], /found 1x99999999; allowed: BATCHx/],
      [[tiny, "--qk-rope-head-dim", "8"], /only with --kv-lora-rank/],
      [[tiny, "--kv-lora-rank", "16"], /--qk-rope-head-dim: Cannot convert/],
      [["embedded", "--kv-lora-rank", "16"], /found with embedded; allowed/],
      [["synthetic:no", "--kv-lora-rank", "9"], /there is no such shape/],
    ] as const
  ) {
    const { code, stdout, stderr } = await runVerbTask("bench", [
      "profile",
      ...args,
    ]);
    assertEquals([code, stdout], [2, ""], stderr);
    assertMatch(stderr, message);
    assertEquals(stderr.trimEnd().split("\n").length, 1);
  }
});
