// The documents say what is there: commands, options, links, files, keys, fields.

import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import deno from "../deno.json" with { type: "json" };
import { InputError } from "../src/base/errors.ts";
import { docs, GENERATED, withPart } from "../src/cli/docs.ts";
import { readme } from "../src/cli/readme.ts";
import {
  labelsOf,
  parseExperiment,
} from "../src/experiment/experiment_file.ts";
import { matchesGlob } from "../src/experiment/glob.ts";
import { recordSchema } from "../src/experiment/record_schema.ts";
import { VARYING_FIELDS } from "../src/experiment/varying_fields.ts";
import { z } from "zod";
import {
  anchorsOf,
  type Command,
  commandsOf,
  documents,
  fencesOf,
  inlineCommandsOf,
  linksOf,
  ROOT,
} from "./fixtures/documents.ts";

const DOCUMENTS = await documents();
const READMES = ["README.md", "README.ko.md"] as const;

const tasks: Readonly<Record<string, { command: string }>> = deno.tasks;

/** Options that are the same as a `--set`. */
const SHORT: Readonly<Record<string, string>> = {
  "--engine": "engine.name",
  "--device": "engine.device",
  "--provider": "engine.provider",
  "--dtype": "engine.dtype",
  "--cache-dtype": "engine.cacheDtype",
};

Deno.test("every task that a document names exists", () => {
  let named = 0;
  for (const [document, text] of DOCUMENTS) {
    for (const [, task] of text.matchAll(/\bdeno(?:@[\d.]+)? task ([\w-]+)/g)) {
      assert(task! in tasks, `${document} names the task ${task}`);
      named++;
    }
  }
  assert(named > 100, `only ${named} tasks are named`);
});

Deno.test("options of every command are those that its --help names", async () => {
  let checked = 0;
  const named: { readonly document: string; readonly option: string }[] = [];
  for (const [document, text] of DOCUMENTS) {
    const inline = inlineCommandsOf(text).flatMap((line) =>
      commandsOf(fenced(line))
    );
    for (const { task, args } of [...commandsOf(text), ...inline]) {
      const about = await helpOf(task, args);
      for (const option of optionsOf(args)) {
        assert(
          hasOption(about, option),
          `${document}: deno task ${task} ${args.join(" ")} has no ${option}`,
        );
        checked++;
      }
    }
    for (const [, option] of text.matchAll(/`(--[a-z][\w-]*)/g)) {
      named.push({ document, option: option! });
    }
  }
  const all = (await Promise.all(helps.values())).join("\n");
  for (const { document, option } of named) {
    assert(hasOption(all, option), `${document} names ${option}`);
  }
  assert(checked > 50, `only ${checked} options were checked`);
  assert(named.length > 20, `only ${named.length} options are named`);
});

Deno.test("experiments of commands are files that take what is set, and their globs match", async () => {
  const own = ownExperiments();
  let checked = 0;
  for (const [document, text] of DOCUMENTS) {
    const inline = inlineCommandsOf(text).filter((line) => !/[[|]/.test(line));
    const shown = [
      ...commandsOf(text),
      ...inline.flatMap((line) => commandsOf(fenced(line))),
    ];
    for (const command of shown) {
      if (command.task !== "experiment") continue;
      const { file = "quickstart", set, only } = experimentArguments(command);
      const source = own.get(file) ??
        await Deno.readTextFile(join(ROOT, `experiments/${file}.yaml`));
      const said = `${document}: deno task experiment ${
        command.args.join(" ")
      }`;
      const labels = labelsOf(parseExperiment(source, said, { set }));
      for (const glob of only?.split(",") ?? []) {
        assert(
          labels.some((label) => matchesGlob(glob, label)),
          `${said}: ${glob} matches nothing`,
        );
      }
      checked++;
    }
  }
  assert(checked > 25, `only ${checked} commands were checked`);
});

Deno.test("both READMEs show the same commands in the same order", () => {
  const [english, korean] = READMES.map((name) => {
    const text = withoutResults(DOCUMENTS.get(name)!);
    return {
      blocks: commandsOf(text),
      inline: inlineCommandsOf(text),
      code: fencesOf(text).filter(({ language }) => language === "ts"),
    };
  });
  assertEquals(korean, english);
  assert(english!.blocks.length >= 17 && english!.inline.length >= 15);
});

Deno.test("both READMEs show what results/published holds, in Korean under Korean headings", async () => {
  assertEquals(await readme(["--check"]), 0, "deno task readme writes them");
  const text = DOCUMENTS.get("README.ko.md")!;
  const [head] = /^\| 변환 \|.*$/m.exec(text) ?? [""];
  assert(head.split("|").length > 6, head);
  assert(!/[a-z] (at|change|bytes)/.test(head), `not translated: ${head}`);
});

Deno.test("links of the documents lead to files and headings", async () => {
  const others = ["src/std/README.md", "src/checkpoint/embedded/README.md"];
  const texts = new Map(DOCUMENTS);
  for (const path of others) {
    texts.set(path, await Deno.readTextFile(join(ROOT, path)));
  }
  let links = 0;
  for (const [document, text] of texts) {
    for (const link of linksOf(text)) {
      if (/^https?:/.test(link)) continue;
      links++;
      const [path, anchor] = link.split("#") as [string, string?];
      const target = path === ""
        ? document
        : join(dirname(document), decodeURIComponent(path));
      const info = await Deno.stat(join(ROOT, target)).catch(() => undefined);
      assert(info !== undefined, `${document} links to ${link}`);
      if (anchor === undefined) continue;
      const anchors = anchorsOf(await Deno.readTextFile(join(ROOT, target)));
      assert(
        anchors.has(decodeURIComponent(anchor)),
        `${document} links to ${link}; headings: ${[...anchors].join(", ")}`,
      );
    }
  }
  assert(links > 60, `only ${links} links`);
});

Deno.test("files and folders that the documents name exist", async () => {
  for (const [document, text] of DOCUMENTS) {
    const named = text.matchAll(
      /(?:^|[`\s(])((?:src|tests|bench|docs|experiments|results\/published)\/[\w./-]*)/gm,
    );
    for (const [, path] of named) {
      const info = await Deno.stat(join(ROOT, path!)).catch(() => undefined);
      assert(info !== undefined, `${document} names ${path}`);
    }
  }
});

Deno.test("runs that commands name are published", async () => {
  for (const [document, text] of DOCUMENTS) {
    for (const { task, args } of commandsOf(text)) {
      if (task !== "reproduce" && task !== "compare") continue;
      const names = args.slice(0, task === "compare" ? 2 : 1);
      for (const name of names) {
        const path = join(ROOT, "results/published", name);
        const info = await Deno.stat(path).catch(() => undefined);
        assert(info?.isDirectory, `${document}: ${task} ${name}`);
      }
    }
  }
});

Deno.test("generated parts of docs/ are in step, and say something of everything", async () => {
  assertEquals(await docs(["--check"]), 0, "deno task docs writes them");
  for (const [document, parts] of Object.entries(GENERATED)) {
    for (const part of Object.values(parts)) {
      for (const line of (await part()).split("\n")) {
        assert(
          !/(?<!\\)\| +\|/.test(line),
          `${document}: nothing is said of ${line}`,
        );
      }
    }
  }
});

Deno.test("docs() refuses arguments, withPart() a document without its markers", async () => {
  await assertRejects(() => docs(["README.md"]), InputError, "no arguments");
  assertThrows(
    () => withPart("text", "keys", "new", "docs/x.md"),
    InputError,
    "Cannot update docs/x.md as it must hold <!-- generated:keys:begin -->",
  );
});

Deno.test("docs/record-format.md names every field of a cell, what varies, statuses and exit codes", () => {
  const text = DOCUMENTS.get("docs/record-format.md")!;
  const fields = propertiesOf(
    z.toJSONSchema(recordSchema, { io: "input", unrepresentable: "any" }),
  );
  assert(fields.size > 80, `only ${fields.size} fields`);
  for (const field of fields) {
    assert(
      new RegExp(`\`([\\w.[\\]]+\\.)?${field}\``).test(text),
      `${field} is not named`,
    );
  }
  for (const field of VARYING_FIELDS) {
    assert(text.includes(`\`${field.replace("*", "")}\``), field);
  }
  for (const status of ["ok", "failed", "oom", "timeout", "skipped"]) {
    assert(text.includes(`| \`${status}\``), status);
  }
  for (const code of [0, 1, 2, 130]) {
    assert(
      new RegExp(`^\\| ${code} +\\|`, "m").test(text),
      `exit code ${code}`,
    );
  }
});

Deno.test("docs/method.md names every deliberate difference to the official code", async () => {
  const text = DOCUMENTS.get("docs/method.md")!;
  let marks = 0;
  for await (const path of sources(join(ROOT, "src"))) {
    if (!(await Deno.readTextFile(path)).includes("Differs from official")) {
      continue;
    }
    const name = path.slice(ROOT.length).replaceAll("\\", "/");
    assert(text.includes(`\`${name}\``), `${name} is not named`);
    marks++;
  }
  assert(marks >= 2);
});

Deno.test("code in ts is tested: README.md's by mod_test.ts, a method's here for its types", async () => {
  const withCode = [...DOCUMENTS].filter(([, text]) =>
    fencesOf(text).some(({ language }) => language === "ts")
  ).map(([document]) => document);
  assertEquals(
    withCode.sort(),
    [
      ...READMES,
      "docs/adding-a-method.md",
    ].sort(),
  );
  const [method] = fencesOf(DOCUMENTS.get("docs/adding-a-method.md")!).filter(
    ({ language }) => language === "ts",
  );
  const folder = await Deno.makeTempDir({ prefix: "transmla-docs-" });
  try {
    const conversion = pathToFileURL(join(ROOT, "src/conversion/")).href;
    const file = join(folder, "slow_rope.ts");
    await Deno.writeTextFile(
      file,
      method!.text.replaceAll('"../', `"${conversion}`),
    );
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", `--config=${join(ROOT, "deno.json")}`, file],
      env: { NO_COLOR: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

function fenced(line: string): string {
  return `\`\`\`sh\n${line}\n\`\`\`\n`;
}

function hasOption(help: string, option: string): boolean {
  return new RegExp(`(^|[\\s,(|])${option}(?![\\w-])`, "m").test(help);
}

const helps = new Map<string, Promise<string>>();

/** What `--help` of a task says; of `bench` that of what is measured, too. */
function helpOf(task: string, args: readonly string[]): Promise<string> {
  const below = task === "bench" ? args[0]?.split("|")[0] ?? "" : "";
  const key = `${task} ${below}`;
  const known = helps.get(key) ?? runHelp(task, below);
  helps.set(key, known);
  return known;
}

async function runHelp(task: string, below: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", task, ...below === "" ? [] : [below], "--help"],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return text.decode(stdout) + text.decode(stderr);
}

/** Names of options: "--set" of `--set=a`, "-v". */
function optionsOf(args: readonly string[]): string[] {
  return args.filter((arg) => /^--?[a-z]/.test(arg)).map((arg) =>
    arg.split("=")[0]!
  );
}

/** Experiments that documents show as a whole, by the file that commands name. */
function ownExperiments(): Map<string, string> {
  const shown = [...DOCUMENTS.values()].flatMap(fencesOf).filter((
    { language, text },
  ) => language === "yaml" && /^name: /m.test(text));
  assert(shown.length > 0);
  return new Map(
    shown.map(({ text }) => [
      /^name: (\S+)$/m.exec(text)![1]!,
      text,
    ]),
  );
}

function experimentArguments({ args }: Command): {
  readonly file?: string;
  readonly set: string[];
  readonly only?: string;
} {
  const set: string[] = [];
  const found: { file?: string; only?: string } = {};
  const alone = /^--(dry-run|resume|force|fail-fast|quiet)$|^-/;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith("-")) {
      assertEquals(found.file, undefined, `two files: ${args.join(" ")}`);
      found.file = arg;
    } else if (
      /^--(set|only|shard|limit|timeout|out|log-format|engine|device|provider|dtype|cache-dtype)$/
        .test(arg)
    ) {
      const value = args[++i]!.replace(/\$\w+/g, "2");
      if (arg === "--set") set.push(value);
      else if (arg === "--only") found.only = value;
      else if (arg in SHORT) set.push(`${SHORT[arg]}=${value}`);
    } else {
      assert(alone.test(arg), arg);
    }
  }
  return { ...found, set };
}

/** Commands among the results are those of records. */
function withoutResults(text: string): string {
  return text.replace(
    /<!-- results:begin -->[\s\S]*<!-- results:end -->/,
    "",
  );
}

/** Names of properties, at any depth. */
function propertiesOf(schema: unknown): Set<string> {
  const names = new Set<string>();
  const walk = (value: unknown) => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key === "properties") {
        for (const name of Object.keys(inner as object)) names.add(name);
      }
      walk(inner);
    }
  };
  walk(schema);
  return names;
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts")) yield path;
  }
}
