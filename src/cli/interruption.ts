// Ctrl-C during an experiment.

import { EXIT } from "./terminal.ts";

/** What Ctrl-C does: at once outside a run; in a run, the engine is ended and what is measured is kept. */
export class Interruption {
  readonly #controller = new AbortController();
  #running = false;

  constructor(args: readonly string[], say: (message: string) => void) {
    const kept = args.filter((arg) => arg !== "--force" && arg !== "--resume");
    const command = ["deno task experiment", ...kept.map(quoted), "--resume"];
    const interrupt = () => {
      if (this.#controller.signal.aborted || !this.#running) {
        Deno.exit(EXIT.interrupted);
      }
      say(`interrupted; go on with: ${command.join(" ")}`);
      // Whatever hangs, the process is gone within 2 seconds.
      Deno.unrefTimer(setTimeout(() => Deno.exit(EXIT.interrupted), 1500));
      this.#controller.abort();
    };
    Deno.addSignalListener("SIGINT", interrupt);
    if (Deno.build.os !== "windows") {
      Deno.addSignalListener("SIGTERM", interrupt);
    }
  }

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
