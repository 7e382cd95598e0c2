import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import type { TextSource } from "../text/text_source.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { sampleCalibration, sampleHeldOut } from "./sampler.ts";

const MERGED = 0x10000;

/** One token a character, but "\n\n\n" is one token, as in SmolLM2's vocabulary. */
const tokenizer: Tokenizer = {
  vocabSize: MERGED + 1,
  sha256: "",
  encode: (text) =>
    Int32Array.from(
      text.match(/\n\n\n|[^]/g) ?? [],
      (piece) => piece === "\n\n\n" ? MERGED : piece.charCodeAt(0),
    ),
  decode: (ids) =>
    Array.from(
      ids,
      (id) => id === MERGED ? "\n\n\n" : String.fromCharCode(id),
    ).join(""),
};

/** Rows "<n>:aaa...\n" of 20 characters, every fourth one blank. */
function textOf(rows: number, end = "\n"): TextSource {
  const list = Array.from(
    { length: rows },
    (_, i) => i % 4 === 3 ? "" : `${i}:`.padEnd(19, "a") + end,
  );
  return { name: "numbers", rows: list, text: list.join("\n\n"), sha256: "" };
}

/** The numbers of the rows that a sequence shows the beginning of. */
function rowsOf(ids: Int32Array): number[] {
  return [...tokenizer.decode(ids).matchAll(/(\d+):/g)].map((m) => +m[1]!);
}

Deno.test("sampleCalibration() uses successive rows, none twice, none blank", () => {
  const options = { samples: 12, tokens: 50, seed: 7 };
  const drawn = sampleCalibration(textOf(400), tokenizer, options);
  assertEquals(drawn.length, 12);
  const rows = drawn.flatMap(rowsOf);
  assertEquals(new Set(rows).size, rows.length);
  for (const ids of drawn) {
    const numbers = rowsOf(ids);
    assert(numbers.length >= 2, "a sequence of 50 tokens spans rows");
    assertEquals(numbers, numbers.toSorted((a, b) => a - b));
  }
});

Deno.test("sampleCalibration() depends on the seed alone", () => {
  const draw = (seed: number) =>
    sampleCalibration(textOf(400), tokenizer, { samples: 8, tokens: 50, seed });
  assertEquals(draw(1), draw(1));
  assert(draw(1).join() !== draw(2).join());
});

Deno.test("sampleCalibration() counts a sequence full before rows merge at seams", () => {
  // Two rows and a separator make 20 + 2 + 20 ids; as one text the seam's three
  // line feeds are a single token: 40, of which nothing is cut.
  const options = { samples: 1, tokens: 41, seed: 3 };
  const merged = sampleCalibration(textOf(400), tokenizer, options);
  assertEquals(merged.map((ids) => ids.length), [40]);
  // Without line feeds of the rows' own nothing merges: 19 + 2 + 19 + 2 + ...
  const plain = sampleCalibration(textOf(400, ""), tokenizer, options);
  assertEquals(plain.map((ids) => ids.length), [41]);
});

Deno.test("sampleCalibration() names how many sequences a short text gave", () => {
  // A row of 20 ids is a sequence, so 15 rows make 15 whatever the seed.
  const options = { samples: 20, tokens: 20, seed: 1 };
  assertThrows(
    () => sampleCalibration(textOf(20), tokenizer, options),
    InputError,
    "must hold 20 of 20 tokens each, drawn at random without reusing a row: current value is 15",
  );
});

Deno.test("sampleCalibration() refuses numbers that make no sense", () => {
  const good = { samples: 2, tokens: 20, seed: 1 };
  for (
    const bad of [
      { samples: 0 },
      { samples: 1.5 },
      { tokens: 1 },
      {
        tokens: NaN,
      },
      { seed: -1 },
      { seed: 2 ** 32 },
    ]
  ) {
    assertThrows(
      () => sampleCalibration(textOf(400), tokenizer, { ...good, ...bad }),
      InputError,
      `current value is ${Object.values(bad)[0]}`,
    );
  }
});

Deno.test("sampleHeldOut() draws full windows from rows that calibration left", () => {
  const options = { samples: 12, tokens: 50, seed: 7 };
  const text = textOf(400);
  const heldOut = { windows: 5, windowTokens: 100 };
  const used = sampleCalibration(text, tokenizer, options).flatMap(rowsOf);
  const windows = sampleHeldOut(text, tokenizer, options, heldOut);
  assertEquals(windows.map((ids) => ids.length), Array(5).fill(100));
  const rows = windows.flatMap(rowsOf);
  assertEquals(new Set([...used, ...rows]).size, used.length + rows.length);
  assertEquals(sampleHeldOut(text, tokenizer, options, heldOut), windows);
});

Deno.test("sampleHeldOut() says so when calibration leaves too little", () => {
  const options = { samples: 15, tokens: 20, seed: 1 };
  assertThrows(
    () =>
      sampleHeldOut(textOf(20), tokenizer, options, {
        windows: 1,
        windowTokens: 20,
      }),
    InputError,
    "Cannot sample held-out windows from numbers",
  );
});
