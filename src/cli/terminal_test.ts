import { assertEquals } from "@std/assert";
import { wrapText } from "./terminal.ts";

Deno.test("wrapText() breaks at spaces and lets a word that is too long stand", () => {
  assertEquals(
    wrapText("one two three", 4, 12).split("\n"),
    ["one two", "    three"],
  );
  assertEquals(wrapText("one two", 4, 80), "one two");
  assertEquals(
    wrapText("one unbreakable two", 2, 8).split("\n"),
    ["one", "  unbreakable", "  two"],
  );
});
