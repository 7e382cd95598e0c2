// The order of rooms: a file imports from rooms with lower numbers or from its
// own. Imports are read from the text: static and dynamic ones, type imports,
// and the files that `new URL("./x.ts", import.meta.url)` names.

import { join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const ROOMS: Readonly<Record<string, number>> = {
  base: 0,
  linalg: 1,
  checkpoint: 1,
  tokenizer: 1,
  text: 2,
  model: 2,
  engine: 3,
  calibration: 4,
  evaluation: 4,
  conversion: 5,
  experiment: 6,
  report: 7,
  cli: 8,
};

// "from -> to" pairs of rooms with the same number that may import each other.
const SIDEWAYS: ReadonlySet<string> = new Set([]);

const FOLDERS = ["src", "tests"];

const MAX_LINES = 400;

// Files that may be longer, each with the reason.
const LONG_FILES: Readonly<Record<string, string>> = {};

// Drawers: a file is named after what it holds.
const FORBIDDEN_NAMES = /^(utils?|commons?|types?|helpers?|misc|shared)\.ts$/;

interface Edge {
  readonly file: string;
  /** Path of the imported file, relative to the project. */
  readonly to: string;
  /** Whether it is there when the program runs. */
  readonly isValue: boolean;
}

Deno.test("the rooms of src/ import in one direction", async () => {
  const wrong = (await readEdges("src")).map(violation).filter((it) => it);
  assertEquals(wrong, [], wrong.join("\n"));
});

Deno.test("no file of src/ imports itself, directly or through others", async () => {
  const cycle = findCycle(await readEdges("src"));
  assert(cycle === undefined, cycle?.join(" -> "));
});

Deno.test(`no file is longer than ${MAX_LINES} lines without a reason`, async () => {
  const files = ["mod.ts", ...await listFiles(...FOLDERS)];
  const long: string[] = [];
  for (const file of files) {
    const lines = (await Deno.readTextFile(join(ROOT, file))).split("\n");
    if (lines.length - 1 > MAX_LINES && LONG_FILES[file] === undefined) {
      long.push(`${file} has ${lines.length - 1} lines`);
    }
  }
  assertEquals(long, [], long.join("\n"));
});

Deno.test("no file is a drawer", async () => {
  const files = await listFiles(...FOLDERS);
  const drawers = files.filter((file) =>
    FORBIDDEN_NAMES.test(posix.basename(file))
  );
  assertEquals(drawers, []);
});

Deno.test("files are named in snake_case", async () => {
  const files = await listFiles(...FOLDERS);
  const wrong = files.filter((file) =>
    !/^[a-z0-9]+(_[a-z0-9]+)*\.ts$/.test(posix.basename(file))
  );
  assertEquals(wrong, []);
});

Deno.test("violation() names file and edge of an import against the order", () => {
  const edge = (file: string, to: string) => ({ file, to, isValue: true });
  const allowed = [
    edge("src/model/rope.ts", "src/linalg/gemm.ts"),
    edge("src/model/rope.ts", "src/model/config.ts"),
    edge("src/base/tensor.ts", "src/std/assert.ts"),
    edge("src/base/tensor_test.ts", "tests/fixtures/assert_close.ts"),
  ];
  assertEquals(allowed.map(violation), ["", "", "", ""]);
  assertEquals(
    violation(edge("src/model/rope.ts", "src/engine/open.ts")),
    "src/model/rope.ts: imports src/engine/open.ts, but model (2) may not import from engine (3)",
  );
  const refused = [
    edge("src/calibration/a.ts", "src/evaluation/b.ts"),
    edge("src/linalg/a.ts", "src/checkpoint/b.ts"),
    edge("src/cli/a.ts", "mod.ts"),
    edge("src/cli/a.ts", "tests/fixtures/assert_close.ts"),
    edge("src/attic/a.ts", "src/base/b.ts"),
    edge("src/std/a.ts", "src/base/b.ts"),
  ];
  for (const each of refused) assert(violation(each) !== "", each.to);
});

Deno.test("readImports() sees every way to import a file, and no comment", () => {
  const text = `
    // import { no } from "./comment.ts";
    /* import "./block.ts"; */
    import { a,
      b } from "./a.ts";
    import type { T } from "./t.ts";
    export * from "../b/b.ts";
    export type { U } from "./u.ts";
    import "./side.ts";
    const c = await import("./c.ts");
    const { d } = await import(
      "./d.ts"
    );
    new Worker(new URL("./worker.ts", import.meta.url));
    const url = "https://example.org//x"; import z from "./z.ts";
    import { zod } from "zod";
  `;
  const edges = readImports("src/x/file.ts", text);
  assertEquals(edges.map(({ to, isValue }) => [to, isValue]), [
    ["src/x/a.ts", true],
    ["src/x/t.ts", false],
    ["src/b/b.ts", true],
    ["src/x/u.ts", false],
    ["src/x/side.ts", true],
    ["src/x/c.ts", true],
    ["src/x/d.ts", true],
    ["src/x/worker.ts", true],
    ["src/x/z.ts", true],
  ]);
});

Deno.test("findCycle() finds a cycle of values, not of types", () => {
  const edges = [["a", "b"], ["b", "c"], ["c", "b"]].map(([file, to]) => ({
    file: file!,
    to: to!,
    isValue: true,
  }));
  assertEquals(findCycle(edges), ["b", "c", "b"]);
  assertEquals(
    findCycle(edges.map((edge) => ({ ...edge, isValue: edge.file !== "c" }))),
    undefined,
  );
});

/** Says what is wrong with an import; "" where nothing is. */
function violation({ file, to }: Edge): string {
  const [from, target] = [roomOf(file), roomOf(to)];
  if (from === "std" && target === "std") return "";
  if (from !== "std" && target === "std") return "";
  if (to.startsWith("tests/fixtures/") && file.endsWith("_test.ts")) return "";
  const [low, high] = [ROOMS[target], ROOMS[from]];
  const said = `${file}: imports ${to}, but`;
  if (high === undefined) return `${said} ${from} is not a room`;
  if (low === undefined) return `${said} ${target || to} is not a room`;
  if (low < high || target === from) return "";
  if (low === high && SIDEWAYS.has(`${from} -> ${target}`)) return "";
  return `${said} ${from} (${high}) may not import from ${target} (${low})`;
}

function roomOf(file: string): string {
  const [top, room] = file.split("/");
  return top === "src" ? room ?? "" : "";
}

async function readEdges(folder: string): Promise<Edge[]> {
  const files = await listFiles(folder);
  const edges = await Promise.all(
    files.map(async (file) =>
      readImports(file, await Deno.readTextFile(join(ROOT, file)))
    ),
  );
  assert(edges.flat().length > files.length / 2, "imports were not found");
  return edges.flat();
}

function readImports(file: string, text: string): Edge[] {
  const found = withoutComments(text).matchAll(
    /\b(import|export)\s+(type\s)?[\w\s{},*$]*?\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*["`]([^"`]+)["`]|new URL\(\s*"([^"]+\.ts)"/g,
  );
  return [...found].flatMap((match) => {
    const specifier = match[3] ?? match[4] ?? match[5]!;
    if (!specifier.startsWith(".")) return [];
    const to = posix.join(posix.dirname(file), specifier);
    return [{ file, to, isValue: match[2] === undefined }];
  });
}

// A // inside of a string is left alone: strings are matched first.
function withoutComments(text: string): string {
  return text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (_, string) => string ?? "",
  );
}

function findCycle(edges: readonly Edge[]): string[] | undefined {
  const next = Map.groupBy(edges.filter((it) => it.isValue), (it) => it.file);
  const done = new Set<string>();
  const visit = (file: string, path: string[]): string[] | undefined => {
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    if (done.has(file)) return undefined;
    for (const { to } of next.get(file) ?? []) {
      const cycle = visit(to, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of next.keys()) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

async function listFiles(...folders: string[]): Promise<string[]> {
  const files: string[] = [];
  const walk = async (folder: string) => {
    for await (const entry of Deno.readDir(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) await walk(path);
      else if (entry.name.endsWith(".ts")) {
        files.push(relative(ROOT, path).replaceAll("\\", "/"));
      }
    }
  };
  for (const folder of folders) await walk(join(ROOT, folder));
  return files.sort();
}
