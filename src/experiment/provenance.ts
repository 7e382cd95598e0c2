// Where a run's figures come from: code, machine, versions, seeds, hashes.

import { createHash } from "node:crypto";
import type { EngineDescription } from "../engine/engine.ts";
import { describeMachine } from "./machine.ts";
import { NUMERICS_VERSION } from "./numerics.ts";
import type { Plan } from "./plan.ts";

/** State of the working tree; absent where it is unknown. */
export interface GitState {
  readonly commit: string;
  /**
   * Whether tracked files outside results/ differ from the commit, or untracked
   * ones are there; null in a copy without git, whose commit is only stated.
   */
  readonly dirty: boolean | null;
}

/** Names the commit of a copy whose git, if it has any, knows another: one on a GPU host. */
const STATED_COMMIT = "TRANSMLA_COMMIT";

/** What is known only once a run has started. */
export interface RunFacts {
  readonly argv: readonly string[];
  readonly git?: GitState;
  readonly engine: EngineDescription;
  /** Measured f32 GEMM rate. */
  readonly gemmGflops?: number;
}

/** The commit that TRANSMLA_COMMIT states, else that of the suite's repository; nothing where there is none or git may not run. */
export async function gitState(): Promise<GitState | undefined> {
  const stated = Deno.env.get(STATED_COMMIT);
  if (stated !== undefined && /^[0-9a-f]{40}$/.test(stated)) {
    return { commit: stated, dirty: null };
  }
  try {
    const commit = await git("rev-parse", "HEAD");
    const status = await git(
      "status",
      "--porcelain",
      "--",
      ".",
      ":(exclude)results",
    );
    return { commit, dirty: status !== "" };
  } catch {
    return undefined;
  }
}

async function git(...args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command("git", {
    args,
    cwd: decodeURIComponent(new URL("../../", import.meta.url).pathname),
    stdout: "piped",
    stderr: "null",
  }).output();
  if (!success) throw new Error(`git ${args[0]} failed`);
  return new TextDecoder().decode(stdout).trim();
}

/**
 * The content of environment.json.
 *
 * @param plan What is run.
 * @param facts What is known only now.
 */
export async function environmentOf(
  plan: Plan,
  facts: RunFacts,
): Promise<Record<string, unknown>> {
  const { experiment, inputs } = plan;
  const machine = describeMachine();
  return {
    schemaVersion: 1,
    experiment: experiment.name,
    runId: plan.runId,
    recordedAt: new Date().toISOString(),
    argv: facts.argv,
    git: facts.git ?? null,
    numericsVersion: NUMERICS_VERSION,
    runtime: { ...Deno.version },
    dependencies: await dependencyVersions(),
    lockfileSha256: await lockfileSha256(),
    cpu: {
      model: machine.cpu,
      cores: machine.cores,
      gemmGflopsF32: facts.gemmGflops ?? null,
    },
    memoryBytes: machine.memoryBytes,
    os: {
      name: machine.os,
      release: machine.osRelease,
      architecture: machine.architecture,
    },
    engine: { ...facts.engine, threads: experiment.engine.threads ?? null },
    seeds: {
      calibration: experiment.calibration?.seeds ??
        experiment.calibration?.seed ?? null,
    },
    model: {
      name: inputs.modelName,
      requested: inputs.requestedModels,
      notHad: inputs.modelsNotHad,
      sha256: inputs.modelSha256,
      files: inputs.files.map(({ name, bytes, sha256 }) => ({
        name,
        bytes,
        sha256,
      })),
      tokenizerSha256: inputs.tokenizerSha256 ?? null,
      config: inputs.config,
    },
    texts: Object.entries(inputs.textSha256).map(([name, sha256]) => ({
      name,
      sha256,
      characters: inputs.textCharacters[name],
    })),
  };
}

async function lockfileSha256(): Promise<string | null> {
  try {
    const url = new URL("../../deno.lock", import.meta.url);
    return createHash("sha256").update(await Deno.readFile(url)).digest("hex");
  } catch {
    return null;
  }
}

/** Exact versions of the npm packages that deno.json names. */
async function dependencyVersions(): Promise<Record<string, string>> {
  try {
    const url = new URL("../../deno.json", import.meta.url);
    const { imports } = JSON.parse(await Deno.readTextFile(url)) as {
      imports: Record<string, string>;
    };
    const versions: Record<string, string> = {};
    for (const specifier of Object.values(imports)) {
      const match = /^npm:(.+)@([^@]+)$/.exec(specifier);
      if (match !== null) versions[match[1]!] = match[2]!;
    }
    return versions;
  } catch {
    return {};
  }
}
