import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { nearestName } from "./nearest_name.ts";
import { openText, TEXT_NAMES } from "./open_text.ts";

Deno.test("openText() opens a text under its own name", async () => {
  assertEquals((await openText("brown/test")).name, "brown/test");
});

Deno.test("openText() suggests the nearest name and lists all", async () => {
  const error = await assertRejects(
    () => openText("wikitext2/test"),
    InputError,
    'did you mean "wikitext-2/test"?',
  );
  for (const name of [...TEXT_NAMES, "file:PATH"]) {
    assert((error as Error).message.includes(name), name);
  }
});

Deno.test("openText() refuses names of Object's own and empty ones", async () => {
  for (const name of ["constructor", "__proto__", "", "file:"]) {
    await assertRejects(() => openText(name), InputError, "Cannot open text");
  }
});

Deno.test("nearestName() finds typos and prefixes, and nothing far off", () => {
  assertEquals(nearestName("brown", TEXT_NAMES), "brown/calibration");
  assertEquals(nearestName("brown/tset", TEXT_NAMES), "brown/test");
  assertEquals(nearestName("pile-of-law", TEXT_NAMES), undefined);
});
