// Seeded weights and caches through both providers: what the device makes is what
// the host makes, and models of the shapes that are timed decode the reference
// engine's tokens. On a GPU these are the kernels whose speed is measured.

import { assert, assertEquals } from "@std/assert";
import { checksAsSteps, childChecks } from "./fixtures/child_checks.ts";
import { requirement } from "./fixtures/requirements.ts";
import type { SeededRequest } from "./fixtures/seeded_child.ts";

for (const provider of ["deno", "dawn"] as const) {
  for (const dtype of ["f32", "f16"] as const) {
    Deno.test({
      name:
        `webgpu (${provider}, ${dtype}) makes seeded weights and caches and decodes with them, or says that the adapter lacks f16`,
      ignore: requirement(`${provider}-gpu`).ignore,
      async fn(context) {
        const request: SeededRequest = { provider, dtype };
        const results = childChecks("seeded_child.ts", provider, request);
        const first = (await results.next()).value;
        assert(first !== undefined, "the child told of no check");
        if (dtype === "f16" && first.unavailable !== undefined) {
          const said = first.unavailable;
          assert(/^Cannot open .* has no shader-f16/.test(said), said);
          return;
        }
        assertEquals(first.error, undefined);
        const checks = await checksAsSteps(context, results);
        assert(checks.length >= 7, `${checks.length} checks`);
      },
    });
  }
}
