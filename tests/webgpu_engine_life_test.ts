// The webgpu engine over many sessions and through faults, in a process of its
// own for each provider.

import { checksAsSteps, childChecks } from "./fixtures/child_checks.ts";
import type { LifeRequest } from "./fixtures/life_child.ts";
import { requirement } from "./fixtures/requirements.ts";

for (const provider of ["deno", "dawn"] as const) {
  const { ignore } = requirement(`${provider}-gpu`);
  for (
    const [part, name] of [
      ["memory", "takes no more memory after many sessions"],
      ["faults", "fails the call that a fault belongs to, and goes on"],
    ] as const
  ) {
    Deno.test({
      name: `webgpu (${provider}) ${name}`,
      ignore,
      async fn(context) {
        const request: LifeRequest = { provider, part };
        await checksAsSteps(
          context,
          childChecks("life_child.ts", provider, request),
        );
      },
    });
  }
}
