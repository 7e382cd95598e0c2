import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { lastLine, startProcess } from "./process.ts";
import { runSide } from "./side.ts";

/** A program that takes its cases from its arguments and dies on the batch 13. */
const DYING = `
for (const text of Deno.args) {
  const one = JSON.parse(text);
  console.log(JSON.stringify({ event: "begin", case: one }));
  console.log("a library's own words");
  if (one.batch === 13) Deno.exit(3);
  if (one.batch === 14) await new Promise((done) => setTimeout(done, 60_000));
  console.log(JSON.stringify({ event: "failed", case: one, error: "as told" }));
}`;

async function runDying(batches: number[], milliseconds: number) {
  const cases = batches.map((batch) => ({
    kind: "mla" as const,
    batch,
    context: 1,
  }));
  const said: [number, string][] = [];
  const starts: boolean[] = [];
  const error = await runSide({
    cases,
    deadline: performance.now() + milliseconds,
    command: (rest, again) => {
      starts.push(again);
      const args = rest.map((one) => JSON.stringify(one));
      return Promise.resolve([Deno.execPath(), "eval", DYING, ...args]);
    },
    take(event) {
      assert(event.event === "failed");
      said.push([event.case.batch, event.error]);
      return Promise.resolve();
    },
  });
  return { error, said, starts };
}

Deno.test("runSide() goes on after a case that ends the process", async () => {
  const died = "its process ended with exit code 3";
  assertEquals(await runDying([1, 13, 2, 13], 60_000), {
    error: undefined,
    said: [[1, "as told"], [13, died], [2, "as told"], [13, died]],
    starts: [false, true],
  });
});

Deno.test("runSide() ends at the deadline and says which cases it did not reach", async () => {
  const { error, said } = await runDying([14, 1], 1500);
  assertEquals(error, "time limit");
  assertEquals(said, [[14, "time limit"], [1, "time limit"]]);
});

Deno.test("runSide() says that a program is not there", async () => {
  const error = await runSide({
    cases: [],
    deadline: performance.now() + 1000,
    command: () => Promise.resolve(["no-such-python"]),
    take: () => Promise.resolve(),
  });
  assertEquals(error, "no-such-python is not there");
});

/** Runs a program of TypeScript for two cases. */
async function runProgram(program: string, milliseconds = 60_000) {
  const cases = [1, 2].map((batch) => ({
    kind: "mla" as const,
    batch,
    context: 1,
  }));
  const said: string[] = [];
  const started = performance.now();
  const error = await runSide({
    cases,
    deadline: started + milliseconds,
    command: () => Promise.resolve([Deno.execPath(), "eval", program]),
    take(event) {
      said.push(event.event === "failed" ? event.error : event.event);
      return Promise.resolve();
    },
  });
  return { error, said, seconds: (performance.now() - started) / 1000 };
}

/** What a program says, after which it would wait for a minute. */
function saying(line: string): string {
  return `console.log(${JSON.stringify(line)});
    await new Promise((done) => setTimeout(done, 60_000));`;
}

Deno.test("runSide() ends a process that says what is no event, and tells what it said", async () => {
  const one = `"case":{"kind":"mla","batch":1,"context":1}`;
  const other = `"case":{"kind":"mla","batch":9,"context":1}`;
  for (
    const [line, reason] of [
      [`{"event": rubbish`, "is not valid JSON"],
      [`{"event":"hello"}`, "event: Invalid"],
      [`{"event":"failed",${one}}`, "error: Invalid input"],
      [`{"event":"copy","bytesPerSecond":-1}`, "bytesPerSecond: "],
      [`{"event":"failed",${other},"error":"x"}`, "mla:9x1 is no case"],
    ] as const
  ) {
    const { error, said, seconds } = await runProgram(saying(line));
    assertStringIncludes(error!, "which is no event: ");
    assertStringIncludes(error!, reason);
    assert(!error!.includes("\n"), error);
    assertEquals(said, []);
    assert(seconds < 30, `${seconds} s`);
  }
});

Deno.test("runSide() tells the last words of a process that died", async () => {
  const { error } = await runProgram(
    `console.error("\u001b[31mNo module named torch\u001b[0m\\n"); Deno.exit(7);`,
  );
  assertEquals(
    error,
    "its process ended with exit code 7: No module named torch",
  );
});

Deno.test("runSide() says of every case that a process which ended well left out", async () => {
  const { error, said } = await runProgram(`console.log("done");`);
  assertEquals(error, "it ended before its last case");
  assertEquals(said, [error, error]);
});

Deno.test({
  name:
    "runSide() ends what a process has started, too, and does not wait for it",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const late = `${folder}/late`;
      const write = JSON.stringify(["-c", `sleep 3; echo > ${late}`]);
      const { error, seconds } = await runProgram(
        `new Deno.Command("sh", { args: ${write} }).spawn();
        await new Promise((done) => setTimeout(done, 60_000));`,
        1500,
      );
      assertEquals(error, "time limit");
      assert(seconds < 20, `${seconds} s`);
      await new Promise((done) => setTimeout(done, 2000));
      await assertRejects(() => Deno.stat(late), Deno.errors.NotFound);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("startProcess() says why a program cannot be started", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const reason = startProcess([folder], performance.now() + 1000);
    assert(typeof reason === "string");
    assertStringIncludes(reason, `${folder} cannot be started: `);
  } finally {
    Deno.removeSync(folder);
  }
});

Deno.test("lastLine() is the last that says something, without colors and controls", () => {
  assertEquals(lastLine("a\nb\u0007\u001b[1m!\u001b[0m\r\n\n"), "b\\u0007!");
  assertEquals(lastLine(""), "");
});
