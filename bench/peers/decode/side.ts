// One side's process: its lines are read as they come, and one that dies on a
// case is started again with the rest.

import { decodedLines } from "../../../src/experiment/lines.ts";
import { note } from "../../../src/cli/terminal.ts";
import { caseName, type DecodeCase } from "./cases.ts";
import { type DecodeEvent, EVENT } from "./events.ts";

/** How a side is run. */
export interface SideProcess {
  /** The program and its arguments for cases that remain; `again` where some were run before. */
  command(
    cases: readonly DecodeCase[],
    again: boolean,
  ): Promise<readonly string[]>;
  readonly env?: Readonly<Record<string, string>>;
  readonly cases: readonly DecodeCase[];
  /** Of performance.now(). */
  readonly deadline: number;
  /** Takes what is said; called in order. */
  take(event: DecodeEvent): Promise<void>;
}

/**
 * Runs a side to its end or to the deadline.
 *
 * @param side What to run.
 * @returns What went wrong outside of its cases, if something did.
 */
export async function runSide(side: SideProcess): Promise<string | undefined> {
  let rest = side.cases;
  for (let again = false;; again = true) {
    const { ending, begun, done, late } = await runOnce(side, rest, again);
    rest = rest.slice(done);
    if (ending === undefined) {
      return rest.length === 0 ? undefined : "it ended before its last case";
    }
    if (late) {
      for (const one of rest) {
        await side.take({ event: "failed", case: one, error: "time limit" });
      }
      return "time limit";
    }
    const [failed, ...others] = rest;
    if (!begun || failed === undefined) return ending;
    await side.take({ event: "failed", case: failed, error: ending });
    note(`${caseName(failed)}: ${ending}`);
    if (others.length === 0) return undefined;
    rest = others;
  }
}

interface Ending {
  /** How the process ended, where not by itself and well. */
  readonly ending: string | undefined;
  /** Whether it was at a case. */
  readonly begun: boolean;
  /** Cases that it has done. */
  readonly done: number;
  /** Whether the deadline ended it. */
  readonly late: boolean;
}

async function runOnce(
  side: SideProcess,
  cases: readonly DecodeCase[],
  again: boolean,
): Promise<Ending> {
  const [program, ...args] = await side.command(cases, again);
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program!, {
      args,
      env: { ...side.env },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return {
      ending: `${program} is not there`,
      begun: false,
      done: 0,
      late: false,
    };
  }
  let late = false;
  const timer = setTimeout(
    () => {
      late = true;
      child.kill("SIGKILL");
    },
    Math.max(0, side.deadline - performance.now()),
  );
  let begun = false;
  let done = 0;
  try {
    for await (const line of decodedLines(child.stdout)) {
      // Libraries print, too.
      if (!line.startsWith('{"event"')) {
        note(line);
        continue;
      }
      const event = EVENT.parse(JSON.parse(line));
      if (event.event === "begin") {
        begun = true;
        continue;
      }
      if (
        event.event === "peerCase" || event.event === "ourCase" ||
        event.event === "failed"
      ) {
        begun = false;
        done++;
      }
      await side.take(event);
    }
    const { code, signal } = await child.status;
    const ending = code === 0
      ? undefined
      : `its process ended with ${signal ?? `exit code ${code}`}`;
    return { ending, begun, done, late: late && code !== 0 };
  } finally {
    clearTimeout(timer);
  }
}
