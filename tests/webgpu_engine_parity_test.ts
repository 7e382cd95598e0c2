// The webgpu engine against the reference engine on tiny seeded models of every
// attention kind, through both providers; each test is a process of its own.

import { assert, assertEquals } from "@std/assert";
import { checksAsSteps, childChecks } from "./fixtures/child_checks.ts";
import { PARITY_CHECKS } from "./fixtures/parity_checks.ts";
import type { ParityRequest } from "./fixtures/parity_child.ts";
import { PARITY_MODELS, rotaryExtremes } from "./fixtures/parity_models.ts";
import { requirement } from "./fixtures/requirements.ts";

/** f32 through two to four layers with logits of order 1 to 10. */
const ATOL = 2e-4;

/** Cached numbers rounded to f16: 2^-11 of each key and value. */
const F16_CACHE_ATOL = 0.03;

/** Weights too; those that are products of the model's are rounded once more. */
const F16_ATOL = 0.05;

const EXTREMES = Object.keys(await rotaryExtremes());

const GROUPS: readonly (readonly string[])[] = [
  ...Object.keys(PARITY_MODELS).map((name) => [name]),
  EXTREMES,
];

/** One of each kind, and all of them. */
const F16_MODELS = [
  "gqa with G = H and biases",
  "partialRope",
  "mla",
  "mixed kinds",
];

async function* parity(request: Omit<ParityRequest, "engine">) {
  const { provider = "deno" } = request.options;
  yield* childChecks("parity_child.ts", provider, {
    engine: "webgpu",
    ...request,
  });
}

for (const provider of ["deno", "dawn"] as const) {
  const { ignore } = requirement(`${provider}-gpu`);

  for (const models of GROUPS) {
    Deno.test({
      name: `webgpu (${provider}) equals the reference: ${models.join(", ")}`,
      ignore,
      async fn(context) {
        const options = { provider };
        const results = await checksAsSteps(
          context,
          parity({ options, models, atol: ATOL }),
        );
        assertEquals(
          results.length,
          1 + models.length * (2 + Object.keys(PARITY_CHECKS).length),
        );
      },
    });
  }

  Deno.test({
    name: `webgpu (${provider}) runs sequences longer than a pass on a CPU`,
    ignore,
    async fn(context) {
      await checksAsSteps(
        context,
        parity({
          options: { provider },
          models: ["mixed kinds"],
          atol: ATOL,
          long: true,
        }),
      );
    },
  });

  for (
    const [what, options, atol] of [
      ["an f16 cache", { provider, cacheDtype: "f16" }, F16_CACHE_ATOL],
      ["f16 weights and cache", { provider, dtype: "f16" }, F16_ATOL],
    ] as const
  ) {
    for (const model of F16_MODELS) {
      Deno.test({
        name:
          `webgpu (${provider}) with ${what} is near the reference, or says that the adapter lacks f16: ${model}`,
        ignore,
        async fn(context) {
          const results = parity({ options, models: [model], atol });
          const first = (await results.next()).value;
          assert(first !== undefined, "the child told of no check");
          if (first.unavailable !== undefined) {
            const said = first.unavailable;
            assert(/^Cannot open .* has no shader-f16/.test(said), said);
            return;
          }
          assertEquals(first.error, undefined);
          await checksAsSteps(context, results);
        },
      });
    }
  }
}
