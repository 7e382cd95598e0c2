// Tasks are described and there; README.md has its results and its tree.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import deno from "../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const tasks: Readonly<
  Record<string, { command: string; description: string }>
> = deno.tasks;

function read(document: string): Promise<string> {
  return Deno.readTextFile(join(ROOT, document));
}

Deno.test("every task is described and states its permissions", () => {
  for (const [name, { command, description }] of Object.entries(tasks)) {
    assert(description.length > 10, `${name} is not described`);
    assert(!/\s(-A|--allow-all)\b/.test(command), `${name} allows everything`);
  }
});

Deno.test("every file that a task runs exists", async () => {
  for (const [name, { command }] of Object.entries(tasks)) {
    for (const [file] of command.matchAll(/\bsrc\/\S+\.ts\b/g)) {
      const info = await Deno.stat(join(ROOT, file)).catch(() => undefined);
      assert(info?.isFile, `${name} runs ${file}`);
    }
  }
});

Deno.test("README.md has one pair of result markers, near its top", async () => {
  const lines = (await read("README.md")).split("\n");
  const at = (marker: string) =>
    lines.flatMap((line, i) => line === marker ? [i] : []);
  const [begin, end] = [
    at("<!-- results:begin -->"),
    at("<!-- results:end -->"),
  ];
  assertEquals([begin.length, end.length], [1, 1]);
  assert(begin[0]! < 30 && begin[0]! < end[0]!);
});

Deno.test("README.md has every room in its tree", async () => {
  const text = await read("README.md");
  for await (const entry of Deno.readDir(join(ROOT, "src"))) {
    if (!entry.isDirectory) continue;
    assert(text.includes(`src/${entry.name}/`), `src/${entry.name} is missing`);
  }
});
