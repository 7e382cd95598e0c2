import { assertEquals } from "@std/assert";
import { readSkipped, readSummary } from "./test_report.ts";

Deno.test("readSummary() takes the last summary line, colors and steps aside", () => {
  const output = "ok | 9 passed | 9 failed is what a test printed\n" +
    "\x1b[31mFAILED\x1b[0m | 12 passed (3 steps) | 2 failed (1 step) | 1 ignored \x1b[38;5;245m(7ms)\x1b[0m\n";
  assertEquals(readSummary(output), { passed: 12, failed: 2 });
});

Deno.test("readSummary() finds nothing in the output of a crash", () => {
  assertEquals(readSummary("running 3 tests from ./a_test.ts\n"), undefined);
});

Deno.test("readSkipped() names ignored tests with their file's reasons", () => {
  const report = `<testsuites><testsuite name="./tests/a_test.ts">
    <testcase name="a() &lt; &quot;b&quot; &amp; c" classname="./tests/a_test.ts" time="0.000" line="1" col="6">
        <skipped/>
    </testcase>
    <testcase name="runs" classname="./tests/a_test.ts" time="0.001" line="2" col="6">
    </testcase>
    <testcase name="off" classname="./tests/b_test.ts" time="0.001" line="2" col="6">
        <skipped/>
    </testcase></testsuite></testsuites>`;
  const missing = [
    { file: "file:///x/tests/a_test.ts", reason: "no browser" },
    { file: "file:///x/tests/a_test.ts", reason: "no browser" },
    { file: "file:///x/tests/a_test.ts", reason: "no GPU" },
    { file: "file:///x/other/c_test.ts", reason: "no text" },
  ].map((entry) => JSON.stringify(entry)).join("\n");
  assertEquals(readSkipped(report, missing), [
    {
      file: "tests/a_test.ts",
      name: 'a() < "b" & c',
      reason: "no browser; no GPU",
    },
    {
      file: "tests/b_test.ts",
      name: "off",
      reason: "ignored by the test itself",
    },
  ]);
});
