// Our calibration, conversion and perplexity beside the official procedure on
// transformers: the same weights, the same token ids, the same machine, the same
// run, one process after the other.

import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { EXIT, note, print, runVerb } from "../../src/cli/terminal.ts";
import { describeMachine } from "../../src/experiment/machine.ts";
import { gitState } from "../../src/experiment/provenance.ts";
import { checkWritable } from "../output_file.ts";
import { compare, type Run, type Runs } from "./comparison.ts";
import { assignCpus, coresFirst } from "./cpus.ts";
import {
  CHECKED,
  type OfficialJob,
  type OursJob,
  parseResult,
  QK_ROPE_HEAD_DIM,
  type Result,
  VARIANTS,
} from "./job.ts";
import { publishedFigures } from "./published.ts";
import { runMeasured, usableCpus, type Usage } from "./measured_process.ts";
import { describePeers, type PeerReport } from "./report.ts";
import { HELP, parseSettings, type PeerSettings } from "./settings.ts";

const OURS = fileURLToPath(new URL("./ours.ts", import.meta.url));
const OFFICIAL = fileURLToPath(new URL("./official.py", import.meta.url));
const PARITY = new URL(
  "../../experiments/official-parity.yaml",
  import.meta.url,
);

/** As deno.json states them for the experiment task. */
const PERMISSIONS = ["read", "write", "env", "net", "ffi", "sys", "run"];

/**
 * The verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function benchPeers(args: readonly string[]): Promise<number> {
  const settings = parseSettings(args);
  if (settings === undefined) {
    print(HELP);
    return EXIT.ok;
  }
  if (settings.json !== undefined) await checkWritable(settings.json);
  const cpus = settings.cpus ?? coresFirst(await usableCpus(settings.python));
  const lanes = assignCpus(cpus, settings.threads, settings.lanes);
  const folder = await Deno.makeTempDir({ prefix: "transmla-peers-" });
  let report: PeerReport;
  try {
    report = await new PeerRun(settings, lanes, folder).run();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  print(describePeers(report));
  if (settings.json !== undefined) {
    await Deno.writeTextFile(
      settings.json,
      JSON.stringify(report, null, 2) + "\n",
    );
  }
  const valid = report.calibration.fair &&
    report.checks.every(({ agrees }) => agrees);
  return valid ? EXIT.ok : EXIT.failed;
}

/** One run of everything, in a folder of its own: nothing is cached from before. */
class PeerRun {
  readonly #settings: PeerSettings;
  readonly #lanes: readonly (readonly number[])[];
  readonly #folder: string;
  #jobs = 0;

  constructor(
    settings: PeerSettings,
    lanes: readonly (readonly number[])[],
    folder: string,
  ) {
    this.#settings = settings;
    this.#lanes = lanes;
    this.#folder = folder;
  }

  async run(): Promise<PeerReport> {
    const started = performance.now();
    const settings = this.#settings;
    note("weights and tokens for both sides");
    await Deno.mkdir(join(this.#folder, "model"));
    const inputs = (await this.#ours("export", 2)).result;
    const runs: Runs = {
      officialScore: await this.#official(inputs, "score", [], 0),
      oursScore: await this.#ours("score", 2),
      officialConvert: await this.#officialLanes(inputs),
      oursTwoPasses: await this.#ours("convert", 2),
      oursOnePass: await this.#ours("convert", 1),
      // After the others: it finds their moments.
      oursCheck: await this.#ours("check", 2),
    };
    const { python, torch, transformers, attention } =
      runs.officialScore.result.versions;
    const { python: _python, json: _json, model, ...rest } = settings;
    const git = await gitState();
    return {
      schemaVersion: 1,
      settings: { model: basename(model), ...rest },
      ...(git === undefined ? {} : { commit: git.commit }),
      weightsSha256: inputs.weightsSha256,
      machine: describeMachine(),
      lanes: this.#lanes,
      versions: {
        python,
        torch,
        transformers,
        attention,
        deno: Deno.version.deno,
        onnxruntime: inputs.onnxruntime,
      },
      published: publishedFigures(
        await Deno.readTextFile(PARITY),
        inputs.weightsSha256,
        settings,
      ),
      wallSeconds: (performance.now() - started) / 1000,
      ...compare(runs, settings.samples),
      runs,
    };
  }

  async #ours<Mode extends OursJob["mode"]>(
    mode: Mode,
    passes: 1 | 2,
  ): Promise<Run<`ours ${Mode}`>> {
    const { model, text, samples, windows, threads, python } = this.#settings;
    const job: OursJob = {
      mode,
      model,
      text,
      samples,
      windows,
      threads,
      passes,
      // "check" is the only one that may find what another has left.
      momentsFolder: join(
        this.#folder,
        mode === "check" ? "moments-convert-2" : `moments-${mode}-${passes}`,
      ),
      folder: join(this.#folder, "model"),
    };
    const command = [
      Deno.execPath(),
      "run",
      "--quiet",
      "--no-check",
      ...PERMISSIONS.map((name) => `--allow-${name}`),
      OURS,
      await this.#writeJob(job),
    ];
    const { output, ...usage } = await runMeasured(command, {
      python,
      cpus: this.#lanes[0]!,
    });
    noteUsage(`ours ${mode}, passes ${passes}`, usage);
    return { result: parseResult(`ours ${mode}`, output), usage };
  }

  async #official<Mode extends OfficialJob["mode"]>(
    { folder, ids, windows }: Result<"ours export">,
    mode: Mode,
    variants: OfficialJob["variants"],
    lane: number,
  ): Promise<Run<`official ${Mode}`>> {
    const { threads, python } = this.#settings;
    const job: OfficialJob = {
      mode,
      model: folder,
      threads,
      qkRopeHeadDim: QK_ROPE_HEAD_DIM,
      ids,
      windows,
      variants,
      checked: CHECKED,
    };
    const { output, ...usage } = await runMeasured(
      [python, OFFICIAL, await this.#writeJob(job)],
      {
        python,
        cpus: this.#lanes[lane]!,
        env: {
          PYTHONDONTWRITEBYTECODE: "1",
          OMP_NUM_THREADS: String(threads),
          MKL_NUM_THREADS: String(threads),
        },
      },
    );
    noteUsage(`official ${mode}, lane ${lane + 1}`, usage);
    return { result: parseResult(`official ${mode}`, output), usage };
  }

  async #officialLanes(
    inputs: Result<"ours export">,
  ): Promise<Run<"official convert">[]> {
    const { variants, lanes } = this.#settings;
    const chosen = VARIANTS.slice(0, variants);
    return await Promise.all(
      Array.from({ length: lanes }, (_, lane) =>
        this.#official(
          inputs,
          "convert",
          chosen.filter((_, i) => i % lanes === lane),
          lane,
        )),
    );
  }

  async #writeJob(job: OursJob | OfficialJob): Promise<string> {
    const path = join(this.#folder, `job-${this.#jobs++}.json`);
    await Deno.writeTextFile(path, JSON.stringify(job));
    return path;
  }
}

function noteUsage(what: string, { wallSeconds, peakRssBytes }: Usage): void {
  note(
    `${what}: ${wallSeconds.toFixed(1)} s, ${
      (peakRssBytes / 1e9).toFixed(2)
    } GB`,
  );
}

if (import.meta.main) await runVerb(benchPeers);
