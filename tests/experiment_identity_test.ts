// What identifies a model: its weights and its configuration.

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { momentsKey } from "../src/calibration/moments_cache.ts";
import { openModel } from "../src/experiment/inputs.ts";
import { makeTinyRun, tinyPlan, tinyYaml } from "./fixtures/tiny_run.ts";

Deno.test("the configuration beside the weights decides cell ids and moments keys", async () => {
  const folder = await Deno.makeTempDir({ prefix: "tiny-identity-" });
  try {
    const tiny = await makeTinyRun(folder);
    const path = join(tiny.model, "config.json");
    const original = JSON.parse(await Deno.readTextFile(path));
    const identify = async (changes: Record<string, unknown>) => {
      await Deno.writeTextFile(
        path,
        JSON.stringify({ ...original, ...changes }),
      );
      const plan = await tinyPlan(tinyYaml(tiny));
      const opened = await openModel([tiny.model]);
      opened.close();
      const key = momentsKey({
        model: opened.model,
        textSha256: "22",
        tokenizerSha256: "33",
        sampling: { samples: 2, tokens: 4, seed: 42 },
        engine: { name: "reference", provider: "cpu", dtype: "f64" },
      });
      return {
        ids: [...plan.cells.map(({ cell }) => cell), key],
        weights: plan.inputs.modelSha256,
      };
    };
    const first = await identify({});
    assertEquals(await identify({ unused_field: 1 }), first);
    for (
      const change of [{ rope_theta: 1234 }, { rms_norm_eps: 1e-3 }]
    ) {
      const other = await identify(change);
      assertEquals(other.weights, first.weights);
      assertEquals(other.ids.filter((id) => first.ids.includes(id)), []);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
