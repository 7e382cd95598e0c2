import { assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { assertDisjoint } from "./splits.ts";
import { textOfRows } from "./text_of_rows.ts";

/** Rows of 30 words each that no other `kind` has. */
function rows(kind: string, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) =>
      Array.from({ length: 30 }, (_, j) => `${kind}${i}-${j}`).join(" "),
  );
}

Deno.test("assertDisjoint() accepts texts that share nothing", () => {
  assertDisjoint(
    textOfRows("a", rows("a", 20)),
    textOfRows("b", rows("b", 20)),
  );
});

Deno.test("assertDisjoint() refuses the same text under another name", () => {
  assertThrows(
    () =>
      assertDisjoint(
        textOfRows("a", rows("a", 3)),
        textOfRows("b", rows("a", 3)),
      ),
    InputError,
    "measure on b as they are the same text",
  );
});

Deno.test("assertDisjoint() refuses a text that contains the other", () => {
  const short = textOfRows("short", ["only five words in here"]);
  const long = textOfRows("long", [
    ...rows("a", 5),
    "Only five\nwords in here",
  ]);
  for (const pair of [[short, long], [long, short]] as const) {
    assertThrows(
      () => assertDisjoint(...pair),
      InputError,
      "one text contains the other",
    );
  }
});

Deno.test("assertDisjoint() refuses excerpts, however they are split in rows", () => {
  const test = rows("b", 40);
  const excerpt = test.slice(10, 12).join(" ").replaceAll(
    / (?=b\d+-7 )/g,
    "\n",
  );
  const pair = [
    textOfRows("a", [...rows("a", 400), excerpt]),
    textOfRows("b", test),
  ] as const;
  assertThrows(
    () => assertDisjoint(...pair),
    InputError,
    "the test text's pieces",
  );
  // Many times as long as the excerpt, the calibration text is the small one now.
  assertThrows(
    () => assertDisjoint(pair[1], pair[0]),
    InputError,
    "the calibration text's pieces",
  );
});

Deno.test("assertDisjoint() tolerates a common quotation", () => {
  const quote = rows("q", 1);
  assertDisjoint(
    textOfRows("a", [...rows("a", 400), ...quote]),
    textOfRows("b", [...rows("b", 400), ...quote]),
  );
});
