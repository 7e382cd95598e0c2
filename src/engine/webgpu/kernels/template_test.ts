import { assertEquals, assertThrows } from "@std/assert";
import { fillTemplate } from "./template.ts";

Deno.test("fillTemplate() fills in constants and integer arithmetic", () => {
  assertEquals(
    fillTemplate("array<$TYPE, $(ROWS * (STRIDE + 8) / 4)>; $ROWS", {
      TYPE: "f32",
      ROWS: 3,
      STRIDE: 10,
    }),
    "array<f32, 13>; 3",
  );
});

Deno.test("fillTemplate() writes loops out, nested ones too", () => {
  const source = [
    "#for i in 0..2",
    "#for j in i..N",
    "a$(i)_$j = $(i * N + j);",
    "#end",
    "#end",
  ].join("\n");
  assertEquals(
    fillTemplate(source, { N: 2 }),
    "a0_0 = 0;\na0_1 = 1;\na1_1 = 3;",
  );
});

Deno.test("fillTemplate() takes one branch of a condition", () => {
  const source = "#if FAST\nfast\n#if N >= 4\nwide\n#end\n#else\nslow\n#end";
  assertEquals(fillTemplate(source, { FAST: true, N: 4 }), "fast\nwide");
  assertEquals(fillTemplate(source, { FAST: false, N: 4 }), "slow");
  assertEquals(fillTemplate("#if !FAST\nx\n#end", { FAST: false }), "x");
  assertEquals(
    fillTemplate("#if T == f16\nx\n#else\ny\n#end", { T: "f32" }),
    "y",
  );
});

Deno.test("fillTemplate() names the line of what it cannot read", () => {
  for (
    const [source, message] of [
      ["a\n$NONE", "line 2 of a kernel as NONE is not a constant"],
      ["#if A\nb", "line 1 of a kernel as #if without #end"],
      ["#end", "line 1 of a kernel as #end without a block"],
      ["$(1 +)", "1 + ends too early"],
      ["#for i of 3\n#end", "#for must read"],
    ] as const
  ) {
    assertThrows(
      () => fillTemplate(source, { A: true }),
      SyntaxError,
      message,
    );
  }
});
