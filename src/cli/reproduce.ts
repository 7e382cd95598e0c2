// deno task reproduce RUN_DIR: runs a recorded experiment again and compares.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import { writeAtomically } from "../experiment/run_folder.ts";
import { provenanceOf } from "../report/compare_provenance.ts";
import { reproductionVerdicts } from "../report/compare_reproduction.ts";
import {
  OTHER_ENGINE,
  type ReproductionOptions,
  SAME_ENGINE,
} from "../report/compare_verdicts.ts";
import { loadRuns } from "../report/mod.ts";
import { adapterLine } from "./adapter.ts";
import { resultOf } from "./experiment.ts";
import { Interruption } from "./interruption.ts";
import { markFolder, refuseOtherFolder } from "./reproduction_folder.ts";
import {
  planReproduction,
  type ReproductionPlan,
} from "./reproduction_plan.ts";
import { outcomeText, planText } from "./reproduction_text.ts";
import { locateRun, REPRODUCTIONS_FOLDER } from "./run_source.ts";
import { RunVoice } from "./run_voice.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

const HELP = `deno task reproduce RUN_DIR [options]

Runs a recorded experiment again, in a new folder, and compares figure by figure.
Only cells that the run has are measured; weights, texts and tokenizer must have
the recorded sha256.

  RUN_DIR          a run folder, NAME of results/published or results/runs, or a
                   run's id

What to run
  --only GLOB      variants by label
  --limit N        the first N cells
  --tokens N       fewer tokens of perplexity and divergence: windows are cut from
                   the start of the text, the first ones are compared
  --engine NAME    another engine; also --device, --provider, --dtype, --cache-dtype
  --set KEY=VALUE  change a value of the experiment (repeatable)
  --timings RATIO  also speeds, which agree within the ratio: --timings 1.5
  --cached-calibration  take moments from the cache instead of calibrating again

What agrees
  --tolerance R    relative, of perplexity; default ${SAME_ENGINE.perplexity} on the recorded engine,
                   provider and dtype, ${OTHER_ENGINE.perplexity} on others
                   KL within ${SAME_ENGINE.kl} relative (${OTHER_ENGINE.kl}), top-1 agreement within
                   ${SAME_ENGINE.agreement} (${OTHER_ENGINE.agreement}), energy kept by each layer within ${SAME_ENGINE.keptEnergy}
                   (${OTHER_ENGINE.keptEnergy}); numbers and bytes of the cache equal

Output
  --out DIR        default: results/reproductions/NAME/TIME; a reproduction of
                   this run that is there is gone on with
  --dry-run        print the cells and stop
  --json           verdicts as JSON
  --quiet          no progress
  -v               stack traces, messages of the engine
  -h, --help

Exit codes: 0 all agree, 1 some differ, 2 it cannot be run here, 130 interrupted.`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If the run cannot be read or cannot be run here.
 */
export async function reproduce(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "only",
      "limit",
      "tokens",
      "engine",
      "device",
      "provider",
      "dtype",
      "cache-dtype",
      "timings",
      "tolerance",
      "out",
    ],
    collect: ["set"],
    boolean: ["cached-calibration", "dry-run", "json", "quiet"],
  });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const [name, ...others] = flags._;
  if (name === undefined || others.length > 0) {
    throw new InputError(
      `one RUN_DIR must be given, found ${flags._.length}; deno task reproduce RUN_DIR`,
    );
  }
  integerFlag(flags, "limit", 1);
  integerFlag(flags, "tokens", 2);
  const options = optionsOf(flags);
  const path = await locateRun(name);
  if (!(await Deno.stat(path)).isDirectory) {
    throw new InputError(
      `Cannot reproduce ${path} as it must be a folder with experiment.yaml: found a file`,
    );
  }
  const given = flags["out"];
  if (given !== undefined) await refuseOtherFolder(path, String(given));
  const run = await loadRuns([path]);
  // The plan is a part of the recorded one: its limit is not the run's.
  const voice = new RunVoice({ ...flags, limit: undefined });
  const reproduction = await planReproduction(path, run, flags, options, voice);
  const out = String(
    given ?? join(
      REPRODUCTIONS_FOLDER,
      reproduction.plan.experiment.name,
      new Date().toISOString().replaceAll(/[:.]/g, "-"),
    ),
  );
  if (flags["dry-run"]) {
    print(planText(reproduction, path, out));
    return EXIT.ok;
  }
  await markFolder(path, out);
  const measured = await measureAgain(reproduction, args, out, flags, voice);
  if (typeof measured === "number") return measured;
  const again = await loadRuns([out]);
  const verdicts = reproductionVerdicts(
    reproduction.recorded,
    measured,
    options,
  );
  const provenance = provenanceOf(
    sideOf(reproduction.recorded, run.environments[0]),
    sideOf(measured, again.environments[0]),
  );
  const outcome = {
    source: path,
    out,
    agrees: verdicts.every(({ verdict }) => verdict !== "differs"),
    verdicts,
    provenance,
  };
  const json = JSON.stringify(outcome, null, 1);
  await writeAtomically(join(out, "reproduction.json"), `${json}\n`);
  print(
    flags["json"]
      ? json
      : outcomeText(reproduction, path, out, verdicts, provenance),
  );
  return outcome.agrees ? EXIT.ok : EXIT.failed;
}

function optionsOf(flags: Flags): ReproductionOptions {
  const timings = numberFlag(flags, "timings", 1);
  const perplexity = numberFlag(flags, "tolerance", 0);
  return {
    ...(timings === undefined ? {} : { timings }),
    ...(perplexity === undefined ? {} : { perplexity }),
  };
}

function numberFlag(
  flags: Flags,
  name: string,
  minimum: number,
): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value >= minimum && value < Infinity)) {
    throw new InputError(
      `option --${name}: found ${text}; allowed: a number >= ${minimum}`,
    );
  }
  return value;
}

/** The records; the exit code where the run did not come to its end. */
async function measureAgain(
  { plan, adapter }: ReproductionPlan,
  args: readonly string[],
  out: string,
  flags: Flags,
  voice: RunVoice,
) {
  const kept = args.filter((arg, i) =>
    !/^--out(=|$)/.test(arg) && args[i - 1] !== "--out"
  );
  const interruption = new Interruption(
    ["deno", "task", "reproduce", ...kept, "--out", out],
    (message) => voice.warn(message),
  );
  if (adapter !== undefined) voice.say(adapterLine(adapter));
  const moments = join(out, "moments");
  const result = await resultOf(
    plan,
    {
      out,
      argv: ["reproduce", ...args],
      signal: interruption.begin(),
      onEvent: (event) => voice.event(event),
      // Moments of the first run would reproduce themselves.
      ...(flags["cached-calibration"] ? {} : { momentsFolder: moments }),
    },
    voice,
    interruption,
  );
  if (typeof result === "number") return result;
  await Deno.remove(moments, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  return result.records;
}

function sideOf(
  cells: ReproductionPlan["recorded"],
  environment: Readonly<Record<string, unknown>> | undefined,
) {
  return { cells, ...(environment === undefined ? {} : { environment }) };
}

if (import.meta.main) await runVerb(reproduce);
