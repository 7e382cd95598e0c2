import { assert, assertEquals, assertMatch } from "@std/assert";
import { Progress, type ProgressMode } from "./progress.ts";

/** What a progress writes to a standard error of 80 columns, with a clock that the test sets. */
function drawn(
  mode: ProgressMode,
  body: (progress: Progress, at: (seconds: number) => void) => void,
): string {
  const { writeSync } = Deno.stderr;
  const { consoleSize } = Deno;
  const { now } = performance;
  let text = "";
  let seconds = 0;
  Deno.stderr.writeSync = (bytes) => {
    text += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  Deno.consoleSize = () => ({ columns: 80, rows: 24 });
  performance.now = () => seconds * 1000;
  try {
    body(new Progress(mode), (to) => seconds = to);
  } finally {
    Deno.stderr.writeSync = writeSync;
    Deno.consoleSize = consoleSize;
    performance.now = now;
  }
  return text;
}

Deno.test("Progress draws a bar with rate and time left, at most ten times a second", () => {
  const text = drawn("bar", (progress, at) => {
    progress.begin("[1/2] original");
    progress.update("perplexity", 0, 100);
    at(0.05);
    progress.update("perplexity", 1, 100);
    at(2);
    progress.update("perplexity", 50, 100);
    progress.clear();
    progress.clear();
  });
  const lines = text.split("\r\x1b[K");
  assertEquals(lines.length, 4);
  assertEquals(lines[1], "[1/2] original ...");
  assertMatch(
    lines[2]!,
    /^\[1\/2\] original {2}█{10}░{10} perplexity 50\/100, 25\.0\/s, 2\.0 s left$/,
  );
  assertEquals(lines[3], "");
});

Deno.test("Progress cuts a bar to the width of the terminal", () => {
  const text = drawn("bar", (progress) => progress.begin("x".repeat(1000)));
  assert(text.endsWith("…"));
  assert(text.length < 1000);
});

Deno.test("Progress makes the bar narrower, then leaves it out, where the numbers need the width", () => {
  const line = (title: string) =>
    drawn("bar", (progress, at) => {
      progress.begin(title);
      progress.update("calibrate", 0, 64);
      at(10);
      progress.update("calibrate", 32, 64);
    }).split("\r\x1b[K")[2]!;
  const numbers = "calibrate 32/64, 3.2/s, 10 s left";
  const short = line("[7/62] transmla F1 m64 r128");
  assert(short.endsWith(` ${numbers}`), short);
  assertMatch(short, /r128 {2}█{8}░{8} calibrate/);
  assertEquals(
    line("[7/62] transmla F1 m64 r128 bkv conversion"),
    `[7/62] transmla F1 m64 r128 bkv conversion  ${numbers}`,
  );
});

Deno.test("Progress writes lines ten seconds apart where there is no terminal", () => {
  const text = drawn("lines", (progress, at) => {
    progress.begin("[1/2] original");
    for (let second = 0; second <= 25; second++) {
      at(second);
      progress.update("calibrate", second, 250);
    }
    progress.update("calibrate", 250, 250);
    at(26);
    progress.update("convert", 0, 10);
    at(40);
    progress.update("convert", 0, 10);
    at(60);
    progress.update("convert", 1, 10);
  });
  assertEquals(text.trimEnd().split("\n"), [
    "[1/2] original: calibrate 10/250, 1.0/s, 4 min 0 s left",
    "[1/2] original: calibrate 20/250, 1.0/s, 3 min 50 s left",
    "[1/2] original: convert 0/10",
    "[1/2] original: convert 1/10, 34 s each, 5 min 6 s left",
  ]);
});

Deno.test("Progress draws nothing where it is not to", () => {
  assertEquals(
    drawn("none", (progress, at) => {
      progress.begin("a");
      at(60);
      progress.update("b", 1, 2);
      progress.clear();
    }),
    "",
  );
});
