// One side's process: its lines are read as they come, and one that dies on a
// case is started again with the rest.

import { oneLine } from "../../../src/base/excerpt.ts";
import { decodedLines } from "../../../src/experiment/lines.ts";
import { note } from "../../../src/cli/terminal.ts";
import { caseName, type DecodeCase } from "./cases.ts";
import { type DecodeEvent, EVENT } from "./events.ts";
import { lastLine, startProcess } from "./process.ts";

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
    const { ending, kind, begun, left } = await runOnce(side, rest, again);
    rest = left;
    if (kind === "late") {
      await failAll(side, rest, "time limit");
      return "time limit";
    }
    if (ending === undefined) {
      if (rest.length === 0) return undefined;
      const reason = "it ended before its last case";
      await failAll(side, rest, reason);
      return reason;
    }
    const at = begun === undefined ? -1 : indexOf(rest, begun);
    if (kind === "unclear" || at < 0) return ending;
    const failed = rest[at]!;
    await side.take({ event: "failed", case: failed, error: ending });
    note(`${caseName(failed)}: ${ending}`);
    rest = rest.toSpliced(at, 1);
    if (rest.length === 0) return undefined;
  }
}

async function failAll(
  side: SideProcess,
  cases: readonly DecodeCase[],
  error: string,
): Promise<void> {
  for (const one of cases) {
    await side.take({ event: "failed", case: one, error });
  }
}

function indexOf(cases: readonly DecodeCase[], one: DecodeCase): number {
  return cases.findIndex((other) => caseName(other) === caseName(one));
}

interface Ending {
  /** How the process ended, where not by itself and well. */
  readonly ending: string | undefined;
  /** Whether the deadline ended it, or something that it said. */
  readonly kind?: "late" | "unclear";
  /** The case that it was at. */
  readonly begun: DecodeCase | undefined;
  /** Cases that it has not done. */
  readonly left: readonly DecodeCase[];
}

async function runOnce(
  side: SideProcess,
  cases: readonly DecodeCase[],
  again: boolean,
): Promise<Ending> {
  const command = await side.command(cases, again);
  const child = startProcess(command, side.deadline, side.env);
  if (typeof child === "string") {
    return { ending: child, begun: undefined, left: cases };
  }
  const said = new Said(side, cases);
  let unclear: string | undefined;
  try {
    for await (const line of decodedLines(child.stdout)) await said.line(line);
  } catch (error) {
    if (!child.isLate()) {
      unclear = error instanceof NotUnderstood
        ? error.message
        : `its output cannot be read: ${oneLine(`${error}`)}`;
    }
    child.kill();
  }
  const { code, signal } = await child.end();
  const { begun, left } = said;
  if (unclear !== undefined) {
    return { ending: unclear, kind: "unclear", begun, left };
  }
  if (child.isLate()) {
    return { ending: "time limit", kind: "late", begun, left };
  }
  const last = lastLine(child.stderrTail());
  const ending = code === 0
    ? undefined
    : `its process ended with ${signal ?? `exit code ${code}`}${
      last === "" ? "" : `: ${last}`
    }`;
  return { ending, begun, left };
}

/** A line that looks like an event and is none of this side's. */
class NotUnderstood extends Error {
  constructor(line: string, reason: string) {
    super(`it said ${oneLine(line, 120)}, which is no event: ${reason}`);
  }
}

/** What a process has said so far. */
class Said {
  readonly #side: SideProcess;
  begun: DecodeCase | undefined;
  left: readonly DecodeCase[];

  constructor(side: SideProcess, cases: readonly DecodeCase[]) {
    this.#side = side;
    this.left = cases;
  }

  async line(line: string): Promise<void> {
    // Libraries print, too.
    if (!line.startsWith('{"event"')) {
      note(oneLine(line, 500));
      return;
    }
    const event = parseEvent(line);
    if (event.event === "begin") {
      this.begun = event.case;
      return;
    }
    if (
      event.event === "peerCase" || event.event === "ourCase" ||
      event.event === "failed"
    ) {
      const at = indexOf(this.left, event.case);
      if (at < 0) {
        throw new NotUnderstood(
          line,
          `${caseName(event.case)} is no case that is left`,
        );
      }
      this.left = this.left.toSpliced(at, 1);
      this.begun = undefined;
    }
    await this.#side.take(event);
  }
}

function parseEvent(line: string): DecodeEvent {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new NotUnderstood(line, oneLine((error as Error).message));
  }
  const result = EVENT.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new NotUnderstood(
    line,
    oneLine(`${path.map(String).join(".") || "event"}: ${message}`),
  );
}
