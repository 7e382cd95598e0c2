import { assertAlmostEquals, assertThrows } from "@std/assert";
import { studentT } from "./student_t.ts";

Deno.test("studentT() gives the tabulated 95 % values", () => {
  const table: [number, number][] = [
    [1, 12.706204736],
    [2, 4.302652730],
    [3, 3.182446305],
    [15, 2.131449546],
    [30, 2.042272456],
    [147, 1.976233],
  ];
  for (const [degrees, value] of table) {
    assertAlmostEquals(studentT(degrees), value, 1e-5);
  }
  assertAlmostEquals(studentT(10, 0.99), 3.169272673, 1e-6);
});

Deno.test("studentT() approaches the normal quantile", () => {
  assertAlmostEquals(studentT(1e6), 1.959966, 1e-5);
});

Deno.test("studentT() refuses zero degrees and a confidence of one", () => {
  assertThrows(() => studentT(0), RangeError, "degrees must be >= 1");
  assertThrows(() => studentT(3, 1), RangeError, "between 0 and 1");
});
