// The list verb beside what the experiment verb's test says of it.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { runVerbTask } from "./fixtures/verb_child.ts";

Deno.test("list methods says which values an option takes", async () => {
  const { code, stdout } = await runVerbTask("list", ["methods"]);
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /^ +kvLoraRank +required +whole number >= 1, or full +r, /m,
  );
  assertMatch(stdout, /^ +balanceKvRatio +1 +number > 0 /m);
  assertMatch(stdout, /^ +pca +activations +activations, or weights /m);
});

Deno.test("list runs counts cells, list presets parameters", async () => {
  const runs = await runVerbTask("list", ["runs"]);
  assertEquals(runs.code, 0, runs.stderr);
  assertMatch(
    runs.stdout,
    /^results\/published\/quickstart +complete +(\d+)\/\1 +\d{4}-\d\d-\d\d \d\d:\d\d /m,
  );
  const presets = await runVerbTask("list", ["presets"]);
  assertMatch(
    presets.stdout,
    /^llama-2-7b +6738 M +32 +4096 +32 +32 +128 +8192$/m,
  );
});

Deno.test("list --json has an array for each list, and refuses others before it prints", async () => {
  const { code, stdout, stderr } = await runVerbTask("list", ["--json"]);
  assertEquals([code, stderr], [0, ""]);
  const lists = JSON.parse(stdout);
  for (
    const name of [
      "methods",
      "models",
      "texts",
      "experiments",
      "presets",
      "runs",
    ]
  ) {
    assert(Array.isArray(lists[name]) && lists[name].length > 0, name);
    assertEquals(typeof (lists[name][0].name ?? lists[name][0].path), "string");
  }
  const wrong = await runVerbTask("list", ["methods", "figures"]);
  assertEquals([wrong.code, wrong.stdout], [2, ""]);
  assertMatch(wrong.stderr, /^error: Cannot list figures; allowed: methods, /);
});
