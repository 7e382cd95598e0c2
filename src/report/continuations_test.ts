import { assertEquals } from "@std/assert";
import { splitText } from "./continuations.ts";

Deno.test("splitText() cuts at the first difference and takes its word", () => {
  assertEquals(splitText("the old house", "the old horse ran"), {
    same: "the old ho",
    first: "rse",
    rest: " ran",
  });
  assertEquals(splitText("a b", "a b"), { same: "a b", first: "", rest: "" });
  assertEquals(splitText("a", "a longer"), {
    same: "a",
    first: " longer",
    rest: "",
  });
  assertEquals(splitText("a longer", "a"), { same: "a", first: "", rest: "" });
});

Deno.test("splitText() does not cut a character in two", () => {
  // Both begin with the same high surrogate.
  assertEquals(splitText("x\u{1F600}", "x\u{1F601} y"), {
    same: "x",
    first: "\u{1F601}",
    rest: " y",
  });
});
