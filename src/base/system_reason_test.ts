import { assertEquals } from "@std/assert";
import { systemReason } from "./system_reason.ts";

Deno.test("systemReason() leaves out the call and the path", () => {
  try {
    Deno.readTextFileSync("/nowhere/at/all");
  } catch (error) {
    assertEquals(systemReason(error), "No such file or directory (os error 2)");
  }
  for (const message of ["Cannot do it: 'a' is b", "one"]) {
    assertEquals(systemReason(new Error(`${message}\n  more`)), message);
  }
});
