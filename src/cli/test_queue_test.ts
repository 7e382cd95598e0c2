import { assert, assertEquals } from "@std/assert";
import { queueOutcome, schedule, testFiles } from "./test_queue.ts";

Deno.test("schedule() begins with the long tests, and leaves those of time to the end", async () => {
  const files = await testFiles();
  const { beside, alone } = schedule(files);
  assertEquals([...beside, ...alone].sort(), files.toSorted());
  assert(alone.includes("tests/experiment_signal_test.ts"));
  const at = (name: string) => {
    const index = beside.indexOf(name);
    assert(index >= 0, name);
    return index;
  };
  assert(at("tests/embedded_model_test.ts") < at("tests/docs_test.ts"));
  assert(at("tests/docs_test.ts") < at("src/model/rope_test.ts"));
});

Deno.test("queueOutcome() counts the tests of all files, and a file that is missing as a failure", async () => {
  const log = console.log;
  const said: string[] = [];
  console.log = (text: string) => said.push(text);
  try {
    const files = [
      "src/base/errors_test.ts",
      "src/base/content_key_test.ts",
      "src/base/no_test.ts",
    ];
    const { code, passed, failed } = await queueOutcome(files, {
      processes: 2,
    });
    assertEquals([code, failed], [1, 1]);
    assert(passed >= 2, `${passed}`);
    assertEquals(said[0], "\nFailed:\n  src/base/no_test.ts");
  } finally {
    console.log = log;
  }
});
