// Whole decode steps of the webgpu engine beside PyTorch's, on the same GPU in
// the same run, one process after the other.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EXIT, note, print } from "../../../src/cli/terminal.ts";
import { nvidiaGpu } from "../../../src/engine/webgpu/device/nvidia.ts";
import type { GpuProvider } from "../../../src/engine/webgpu/device/gpu.ts";
import { describeMachine } from "../../../src/experiment/machine.ts";
import { gitState } from "../../../src/experiment/provenance.ts";
import { writeAtomically } from "../../../src/experiment/run_folder.ts";
import { checkWritable } from "../../output_file.ts";
import { runOurs } from "../ours.ts";
import type { DecodeEvent } from "./events.ts";
import {
  type OurJob,
  type PeerJob,
  REFERENCES,
  type ReferencesJob,
  type ScoreJob,
} from "./job.ts";
import {
  type DecodeReport,
  findings,
  isComplete,
  type SideName,
  type SideReport,
} from "./report.ts";
import { describeDecode } from "./report_text.ts";
import {
  configOf,
  type DecodeSettings,
  HELP,
  parseSettings,
} from "./settings.ts";
import { killProcesses, lastLine, startProcess } from "./process.ts";
import { runSide, type SideProcess } from "./side.ts";

/** Steps of each form of torch's attention. */
const PEER_STEPS = 24;

/** As deno.json states them for the bench task. */
const PERMISSIONS = ["read", "write", "env", "net", "ffi", "sys", "run"];

/**
 * The verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function benchDecode(args: readonly string[]): Promise<number> {
  const settings = parseSettings(args);
  if (settings === undefined) {
    print(HELP);
    return EXIT.ok;
  }
  if (settings.out !== undefined) await checkWritable(settings.out);
  const folder = await Deno.makeTempDir({ prefix: "transmla-decode-" });
  const run = new DecodeRun(settings, folder);
  const interrupt = () => {
    killProcesses();
    // Weights for the other side may lie there.
    Deno.removeSync(folder, { recursive: true });
    note(
      run.isWritten
        ? `interrupted; cases that were done are in ${settings.out}`
        : settings.out === undefined
        ? "interrupted; --out FILE keeps what was measured"
        : "interrupted before anything was measured",
    );
    Deno.exit(EXIT.interrupted);
  };
  const signals = Deno.build.os === "windows"
    ? ["SIGINT"] as const
    : ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, interrupt);
  try {
    const report = await run.run();
    print(describeDecode(report));
    return isComplete(report) ? EXIT.ok : EXIT.failed;
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
    await Deno.remove(folder, { recursive: true });
  }
}

function denoCommand(script: string, job: string): string[] {
  const permissions = PERMISSIONS.map((name) => `--allow-${name}`);
  const options = ["run", "--quiet", "--no-check", ...permissions];
  return [Deno.execPath(), ...options, script, job];
}

/** Files of the reference engine's tokens, or why there are none. */
interface References {
  readonly files: OurJob["references"];
  readonly fault?: string;
}

/** All sides, one after the other. */
class DecodeRun {
  readonly #settings: DecodeSettings;
  readonly #folder: string;
  readonly #started = performance.now();
  readonly #date = new Date().toISOString();
  readonly #sides: { side: SideName; started: number; report: SideReport }[] =
    [];
  /** Whether the file of the results is there. */
  isWritten = false;
  #jobs = 0;
  #score: { ours: ScoreJob; theirs: ScoreJob } | undefined;

  constructor(settings: DecodeSettings, folder: string) {
    this.#settings = settings;
    this.#folder = folder;
  }

  get #deadline(): number {
    return this.#started + 1000 * this.#settings.timeLimit;
  }

  async run(): Promise<DecodeReport> {
    const { peer, ours, providers, score } = this.#settings;
    if (score !== undefined) this.#score = await this.#prepareScore(score);
    const references = this.#referenceRuns();
    if (peer) {
      await this.#torch();
      if (this.#score !== undefined) {
        await this.#transformers(this.#score.theirs);
      }
    }
    if (ours) {
      const files = await references;
      for (const provider of providers) await this.#ours(provider, files);
    }
    return await this.#report();
  }

  async #torch(): Promise<void> {
    const { cases, mla, prefill, peerDevice, model, python } = this.#settings;
    const script = fileURLToPath(new URL("./torch_decode.py", import.meta.url));
    await this.#side("torch", {
      cases,
      command: async (rest) => {
        const job: PeerJob = {
          config: configOf(model),
          mla,
          cases: rest,
          steps: PEER_STEPS,
          prefill,
          device: peerDevice,
        };
        return [python, script, await this.#file(job)];
      },
    });
  }

  async #transformers(score: ScoreJob): Promise<void> {
    const script = fileURLToPath(
      new URL("./transformers_score.py", import.meta.url),
    );
    const { python } = this.#settings;
    await this.#side("transformers", {
      cases: [],
      command: async () => [python, script, await this.#file(score)],
    });
  }

  /** On the CPU, while the peer is measured. */
  async #referenceRuns(): Promise<References> {
    const { ours, check, mla, cases } = this.#settings;
    if (!ours || !check) return { files: {} };
    const job: ReferencesJob = {
      mla,
      kinds: [...new Set(cases.map(({ kind }) => kind))],
      folder: this.#folder,
    };
    const script = fileURLToPath(new URL("./references.ts", import.meta.url));
    const command = denoCommand(script, await this.#file(job));
    const fault = (reason: string): References => ({
      files: {},
      fault: `greedy tokens are not checked as the reference engine ${reason}`,
    });
    const child = startProcess(command, this.#deadline);
    if (typeof child === "string") return fault(`has no process: ${child}`);
    let text = "";
    try {
      text = await new Response(child.stdout).text();
    } catch (error) {
      if (!child.isLate()) throw error;
    }
    const { code } = await child.end();
    if (child.isLate()) return fault("did not end within the time limit");
    if (code !== 0) {
      const last = lastLine(child.stderrTail());
      return fault(`ended with exit code ${code}: ${last}`);
    }
    return { files: REFERENCES.parse(JSON.parse(text)) };
  }

  async #ours(
    provider: GpuProvider,
    { files, fault }: References,
  ): Promise<void> {
    const { model, dtype, mla, steps, repetitions, profile } = this.#settings;
    const { prefill, software, cases } = this.#settings;
    const script = fileURLToPath(new URL("./ours.ts", import.meta.url));
    await this.#side(provider, {
      cases,
      command: async (rest, again) => {
        const job: OurJob = {
          model,
          provider,
          dtype,
          mla,
          cases: rest,
          steps,
          repetitions,
          profile,
          references: again ? {} : files,
          prefill,
          software,
          ...(this.#score === undefined ? {} : { score: this.#score.ours }),
        };
        return denoCommand(script, await this.#file(job));
      },
    }, fault);
  }

  async #side(
    side: SideName,
    process: Pick<SideProcess, "cases" | "command">,
    fault?: string,
  ): Promise<void> {
    note(`${side}:`);
    const events: DecodeEvent[] = [];
    const started = performance.now();
    const report = { side, wallSeconds: 0, events };
    const entry = { side, started, report: report as SideReport };
    this.#sides.push(entry);
    const seconds = () => (performance.now() - started) / 1000;
    const ended = await runSide({
      ...process,
      env: { PYTHONDONTWRITEBYTECODE: "1" },
      deadline: this.#deadline,
      take: async (event) => {
        events.push(event);
        entry.report = { ...report, wallSeconds: seconds() };
        await this.#write();
      },
    });
    const errors = [ended, fault].filter((one) => one !== undefined);
    const error = errors.length === 0 ? undefined : errors.join("; ");
    entry.report = {
      ...report,
      wallSeconds: seconds(),
      ...(error === undefined ? {} : { error }),
    };
    note(
      `${side}: ${seconds().toFixed(0)} s${
        error === undefined ? "" : `, ${error}`
      }`,
    );
    await this.#write();
  }

  /** Weights as transformers reads them, and the windows of both sides. */
  async #prepareScore(
    model: string,
  ): Promise<{ ours: ScoreJob; theirs: ScoreJob }> {
    note("weights and windows for both sides");
    const folder = join(this.#folder, "model");
    await Deno.mkdir(folder);
    const { windows } = await runOurs({
      mode: "export",
      model,
      text: "wikitext-2",
      samples: 1,
      windows: this.#settings.scoreWindows,
      threads: 1,
      passes: 1,
      momentsFolder: join(this.#folder, "moments"),
      folder,
    });
    const device = this.#settings.peerDevice;
    const file = await this.#file(windows);
    return {
      ours: { model, windows: file, device },
      theirs: { model: folder, windows: file, device },
    };
  }

  async #file(content: unknown): Promise<string> {
    const path = join(this.#folder, `${this.#jobs++}.json`);
    await Deno.writeTextFile(path, JSON.stringify(content));
    return path;
  }

  async #write(): Promise<void> {
    const { out } = this.#settings;
    if (out === undefined) return;
    const report = await this.#report();
    await writeAtomically(out, JSON.stringify(report, null, 1) + "\n");
    this.isWritten = true;
  }

  async #report(): Promise<DecodeReport> {
    const { python: _python, out: _out, ...settings } = this.#settings;
    const git = await gitState();
    const gpu = await nvidiaGpu();
    const sides = this.#sides.map(({ report }) => report);
    return {
      schemaVersion: 1,
      date: this.#date,
      ...(git === undefined ? {} : { commit: git.commit }),
      settings,
      machine: describeMachine(),
      ...(gpu === undefined ? {} : { gpu }),
      wallSeconds: (performance.now() - this.#started) / 1000,
      ...findings(settings, configOf(settings.model), sides),
      sides,
    };
  }
}
