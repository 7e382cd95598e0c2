import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { stringify } from "yaml";
import { runIdentity, writtenIdentity } from "./run_identity.ts";

const EXPERIMENT = {
  name: "a",
  description: "first",
  model: "m",
  variants: [{ method: "original" }],
  measure: { cache: { contexts: [32], slackBytes: 0 } },
  report: { baseline: "original", figures: [] },
  expect: [],
  timeoutSeconds: 7200,
};

Deno.test("runIdentity() names what is measured, not how it is told, checked or waited for", () => {
  const id = runIdentity(EXPERIMENT);
  assertEquals(id.length, 16);
  for (
    const change of [
      { description: "second" },
      { description: undefined },
      { report: { baseline: "original", figures: ["pareto"] } },
      {
        expect: [{ variant: "original", metric: "cache.reduction", value: 0 }],
      },
      { timeoutSeconds: 5 },
    ]
  ) assertEquals(runIdentity({ ...EXPERIMENT, ...change }), id);
  for (
    const change of [
      { name: "b" },
      { model: "n" },
      { variants: [] },
      { measure: { cache: { contexts: [64], slackBytes: 0 } } },
    ]
  ) assertNotEquals(runIdentity({ ...EXPERIMENT, ...change }), id);
});

Deno.test("writtenIdentity() is that of what was written, and nothing for a damaged file", () => {
  const text = stringify(EXPERIMENT);
  assertEquals(writtenIdentity(text), runIdentity(EXPERIMENT));
  for (const damaged of ["", "{", "a: &x 1\nb: *x\n", "\0\0", "- 1", "7"]) {
    const identity = writtenIdentity(damaged);
    assert(identity !== runIdentity(EXPERIMENT), damaged);
  }
});
