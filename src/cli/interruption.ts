// Ctrl-C, or a scheduler's SIGTERM, during an experiment. SIGHUP is left to the
// system, so that nohup keeps its meaning: nothing that was measured is lost.

import { EXIT } from "./terminal.ts";

/** What Ctrl-C does: at once outside a run; in a run, the engine is ended and what is measured is kept. */
export class Interruption {
  /** The command that goes on with the run. */
  readonly command: string;
  readonly #controller = new AbortController();
  #running = false;

  /**
   * @param command The words that go on with the run.
   * @param say Is told what to do next.
   */
  constructor(command: readonly string[], say: (message: string) => void) {
    this.command = command.map(quoted).join(" ");
    const interrupt = () => {
      if (this.#controller.signal.aborted || !this.#running) {
        Deno.exit(EXIT.interrupted);
      }
      say(`interrupted; go on with: ${this.command}`);
      // Whatever hangs, the process is gone within 2 seconds.
      Deno.unrefTimer(setTimeout(() => Deno.exit(EXIT.interrupted), 1500));
      this.#controller.abort();
    };
    Deno.addSignalListener("SIGINT", interrupt);
    if (Deno.build.os !== "windows") {
      Deno.addSignalListener("SIGTERM", interrupt);
    }
  }

  /** Whether a signal has come. */
  get happened(): boolean {
    return this.#controller.signal.aborted;
  }

  /** From now on a first signal ends the engine and keeps what is measured. */
  begin(): AbortSignal {
    this.#running = true;
    return this.#controller.signal;
  }
}

function quoted(arg: string): string {
  return /^[\w./=:,@%+-]+$/.test(arg)
    ? arg
    : `'${arg.replaceAll("'", `'\\''`)}'`;
}

/** The words that go on with an experiment that was started with these arguments. */
export function resumeCommand(args: readonly string[]): string[] {
  const kept = args.filter((arg) => arg !== "--force" && arg !== "--resume");
  return ["deno", "task", "experiment", ...kept, "--resume"];
}
