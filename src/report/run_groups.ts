// Sorts folders by the run that they hold: folders of one run are merged, runs
// are shown side by side.

import type { CellRecord } from "../experiment/record.ts";
import { isObject, loadRuns, type NamedRun, type RunData } from "./load.ts";
import { machineName } from "./protocol.ts";
import { engineName } from "./series.ts";

/**
 * Reads any number of folders. A run's id is the hash of its resolved
 * experiment, so folders of one id are shards or repetitions of one run, unless
 * the weights or the texts under its names have changed in between.
 *
 * @param directories Run folders or published folders.
 * @returns One run an id, in the order of its first folder, each with a name of its own.
 * @throws {InputError} If a folder does not exist or holds no readable record.
 */
export async function loadRunGroups(
  directories: readonly string[],
): Promise<NamedRun[]> {
  const loaded = await Promise.all(
    [...new Set(directories)].map(async (directory) => ({
      directory,
      run: await loadRuns([directory]),
    })),
  );
  const groups: { directory: string; run: RunData }[][] = [];
  for (const folder of loaded) {
    const group = groups.find((folders) =>
      folders.every(({ run }) => isSameRun(run, folder.run))
    );
    if (group === undefined) groups.push([folder]);
    else group.push(folder);
  }
  const runs = await Promise.all(
    groups.map((folders) =>
      folders.length === 1
        ? folders[0]!.run
        : loadRuns(folders.map(({ directory }) => directory))
    ),
  );
  return nameRuns(runs);
}

function isSameRun(a: RunData, b: RunData): boolean {
  if (runIdOf(a) !== runIdOf(b)) return false;
  const hashes = inputHashes(b);
  return [...inputHashes(a)].every(([name, known]) =>
    hashes.get(name)?.isSubsetOf(known) ?? true
  );
}

/** SHA-256 of the weights and of each text, by name, as cells and environment have them. */
function inputHashes({ environments, cells }: RunData): Map<
  string,
  Set<string>
> {
  const hashes = new Map<string, Set<string>>();
  const add = (name: string, hash: unknown) => {
    if (typeof hash !== "string") return;
    hashes.set(name, (hashes.get(name) ?? new Set()).add(hash));
  };
  for (const cell of cells) {
    add("model", cell.model.sha256);
    if (
      cell.measure === "perplexity" || cell.measure === "divergence"
    ) {
      const { metrics } = cell;
      if (metrics !== undefined) {
        add(`text ${metrics.text}`, metrics.textSha256);
      }
    }
  }
  for (const { texts } of environments) {
    if (!Array.isArray(texts)) continue;
    for (const text of texts) {
      if (isObject(text)) add(`text ${text["name"]}`, text["sha256"]);
    }
  }
  return hashes;
}

/** As the environment has it: a folder may also hold cells that an earlier run measured. */
function runIdOf({ environments, cells }: RunData): string {
  const stated = environments[0]?.["runId"];
  if (typeof stated === "string") return stated;
  const counts = new Map<string, number>();
  for (const { runId } of cells) {
    counts.set(runId, (counts.get(runId) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]![0];
}

/** By experiment, and by what else tells them apart where one was run in several ways. */
function nameRuns(runs: readonly RunData[]): NamedRun[] {
  const experiment = (run: RunData) => run.experiments.join(", ");
  const engines = (run: RunData) =>
    [...new Set(run.cells.filter(isMeasured).map(engineName))].join(", ");
  const machine = (run: RunData) =>
    machineName(run).replace(/, driver .*$/, "");
  const ways: ((run: RunData) => string[])[] = [
    (run) => [experiment(run)],
    (run) => [experiment(run), engines(run)],
    (run) => [experiment(run), machine(run)],
    (run) => [experiment(run), engines(run), machine(run)],
    (run) => [experiment(run), run.runIds[0]!.slice(0, 8)],
  ];
  const names = ways.map((way) =>
    runs.map((run) => way(run).filter((part) => part !== "").join(" · "))
  );
  const chosen = names.find((all) => new Set(all).size === runs.length) ??
    runs.map((run, i) => `${experiment(run)} · run ${i + 1}`);
  return runs.map((run, i) => ({ name: chosen[i]!, run }));
}

function isMeasured({ measure }: CellRecord): boolean {
  return measure !== "conversion";
}
