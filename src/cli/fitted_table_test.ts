import { assert, assertEquals } from "@std/assert";
import { fitTable } from "./fitted_table.ts";

const HEADER = ["variant", "context", "cache", "perplexity", "tokens/s"];
const ROWS = [
  ["original", "512", "46,080", "27.79", "24.7"],
  ["transmla F2", "1,024", "23,040", "42.95", "15.0"],
  ["transmla F2", "256", "–", "44.61", "–"],
];

Deno.test("fitTable() is one table where the width allows it", () => {
  const text = fitTable(HEADER, ROWS, 2, 80);
  assertEquals(text, fitTable(HEADER, ROWS, 2, Infinity));
  assertEquals(text.split("\n").length, 4);
  // Exactly as wide as it is.
  const width = Math.max(...text.split("\n").map(({ length }) => length));
  assertEquals(fitTable(HEADER, ROWS, 2, width), text);
});

Deno.test("fitTable() repeats the keys in every block, keeps within the width and leaves out empty rows", () => {
  assertEquals(fitTable(HEADER, ROWS, 2, 36).split("\n"), [
    "variant      context   cache",
    "original         512  46,080",
    "transmla F2    1,024  23,040",
    "",
    "variant      context  perplexity",
    "original         512       27.79",
    "transmla F2    1,024       42.95",
    "transmla F2      256       44.61",
    "",
    "variant      context  tokens/s",
    "original         512      24.7",
    "transmla F2    1,024      15.0",
  ]);
});

Deno.test("fitTable() shows every column where not even one fits beside the keys", () => {
  const text = fitTable(HEADER, ROWS, 2, 10);
  for (const title of HEADER) assert(text.includes(title));
});
