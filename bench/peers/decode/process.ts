// Processes that a bench waits for: with a deadline, their last words kept, none
// left behind when the bench itself is ended.

import { oneLine } from "../../../src/base/excerpt.ts";

/** Of standard error, characters that are kept. */
const TAIL = 4096;

const HAS_GROUPS = Deno.build.os !== "windows";

const running = new Set<Deno.ChildProcess>();

/** A process, its output as it comes. */
export interface StartedProcess {
  /** Fails at the deadline, whoever holds its other end. */
  readonly stdout: ReadableStream<Uint8Array>;
  /** Whether the deadline has ended it. */
  isLate(): boolean;
  /** The last of what it wrote to standard error, all of which is passed on. */
  stderrTail(): string;
  kill(): void;
  /** Waits for its end. */
  end(): Promise<Deno.CommandStatus>;
}

/**
 * Starts a process that is ended at a deadline.
 *
 * @param command A program and its arguments.
 * @param deadline Of performance.now().
 * @param env Added to the environment.
 * @returns Why it cannot be started, in words, where it cannot.
 */
export function startProcess(
  [program, ...args]: readonly string[],
  deadline: number,
  env: Readonly<Record<string, string>> = {},
): StartedProcess | string {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program!, {
      args,
      env: { ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      // A group of its own, which ends with it.
      detached: HAS_GROUPS,
    }).spawn();
  } catch (error) {
    return error instanceof Deno.errors.NotFound
      ? `${program} is not there`
      : `${program} cannot be started: ${oneLine((error as Error).message)}`;
  }
  running.add(child);
  const ended = new AbortController();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    killProcess(child);
    // A process of its own may hold the pipe still.
    ended.abort();
  }, Math.max(0, deadline - performance.now()));
  let tail = "";
  const passed = passOn(child.stderr, ended.signal, (text) => {
    tail = (tail + text).slice(-TAIL);
  });
  return {
    stdout: child.stdout.pipeThrough(new TransformStream(), {
      signal: ended.signal,
    }),
    isLate: () => late,
    stderrTail: () => tail,
    kill: () => killProcess(child),
    async end() {
      const status = await child.status;
      clearTimeout(timer);
      running.delete(child);
      // What it wrote last is there by now; its own children may write on.
      await Promise.race([
        passed,
        new Promise((done) => setTimeout(done, 200)),
      ]);
      ended.abort();
      return status;
    },
  };
}

/** Ends all that still run. */
export function killProcesses(): void {
  for (const child of running) killProcess(child);
}

/** The last line that says something. */
export function lastLine(text: string): string {
  const line = text.split(/[\r\n]+/).findLast((one) => one.trim() !== "") ?? "";
  // deno-lint-ignore no-control-regex -- colors of a terminal
  return oneLine(line.replaceAll(/\u001b\[[\d;]*m/g, ""), 200);
}

/** With all that it has started: an interpreter may be behind a script, and hold the GPU. */
function killProcess(child: Deno.ChildProcess): void {
  try {
    if (HAS_GROUPS) Deno.kill(-child.pid, "SIGKILL");
    else child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function passOn(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  take: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  try {
    const passing = stream.pipeThrough(new TransformStream(), { signal });
    for await (const chunk of passing) {
      take(decoder.decode(chunk, { stream: true }));
      Deno.stderr.writeSync(chunk);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
