// Seeded weights and caches through both providers: what the device makes is what
// the host makes, and models of the shapes that are timed decode the reference
// engine's tokens. On a GPU these are the kernels whose speed is measured.

import { assert, assertEquals } from "@std/assert";
import { checksAsSteps, childChecks } from "./fixtures/child_checks.ts";
import { requirement } from "./fixtures/requirements.ts";
import type { SeededModel, SeededRequest } from "./fixtures/seeded_child.ts";

/** How many checks there are of a model, at least: of a prompt there is none on SwiftShader. */
const LEAST_CHECKS: Readonly<Record<SeededModel, number>> = {
  "wide": 1,
  "wide latent": 1,
  "tiny": 5,
};

const MODELS = ["wide", "wide latent", "tiny"] as const;

for (const provider of ["deno", "dawn"] as const) {
  for (const dtype of ["f32", "f16"] as const) {
    for (const model of MODELS) {
      Deno.test({
        name:
          `webgpu (${provider}, ${dtype}) makes seeded weights and caches and decodes with them, or says that the adapter lacks f16: ${model}`,
        ignore: requirement(`${provider}-gpu`).ignore,
        fn: (context) => checkSeeded(context, { provider, dtype, model }),
      });
    }
  }
}

async function checkSeeded(
  context: Deno.TestContext,
  request: SeededRequest,
): Promise<void> {
  const { provider, dtype, model } = request;
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
  assert(checks.length >= LEAST_CHECKS[model], `${checks.length} checks`);
}
