import { assertEquals, assertStringIncludes } from "@std/assert";
import { differenceOf } from "./outputs.ts";

Deno.test("differenceOf() takes rounding and names what is more", () => {
  const right = [Float64Array.of(1, -2, 3, 0)];
  const with3 = (value: number) => [Float64Array.of(1, -2, 3, value)];
  assertEquals(differenceOf(right, right), undefined);
  assertEquals(differenceOf(with3(1e-3), right), undefined);
  assertStringIncludes(
    differenceOf(with3(0.5), right) ?? "",
    "output 0 is wrong: number 3 of the sample is 0.5, expected 0",
  );
  assertStringIncludes(differenceOf(with3(NaN), right) ?? "", "is NaN");
  const infinite = differenceOf(with3(-Infinity), right);
  assertStringIncludes(infinite ?? "", "is -Infinity");
});

Deno.test("differenceOf() does not compare with zeros or what is no number", () => {
  for (const nothing of [[0, 0], [NaN, 1], [Infinity, 1]]) {
    const numbers = [Float64Array.from(nothing)];
    assertStringIncludes(
      differenceOf(numbers, numbers) ?? "",
      "nothing to compare with",
    );
  }
});
