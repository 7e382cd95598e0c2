// Every command of the documents is one that runs: tasks, options, experiments,
// runs; both READMEs show the same.

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import deno from "../deno.json" with { type: "json" };
import {
  labelsOf,
  parseExperiment,
} from "../src/experiment/experiment_file.ts";
import { matchesGlob } from "../src/experiment/glob.ts";
import {
  type Command,
  commandsOf,
  documents,
  fencesOf,
  inlineCommandsOf,
  READMES,
  ROOT,
} from "./fixtures/documents.ts";

const DOCUMENTS = await documents();

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
