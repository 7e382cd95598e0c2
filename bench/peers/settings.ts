// The options of deno task bench peers.

import { InputError } from "../../src/base/errors.ts";
import { type Flags, integerFlag, parseFlags } from "../../src/cli/terminal.ts";
import { parseCpuList } from "./cpus.ts";
import { type PeerText, TEXTS, VARIANTS } from "./job.ts";

export const HELP = `deno task bench peers [MODEL] [options]

Our conversion and perplexity beside the official procedure on transformers, on
the same machine, one after the other, each pinned to as many processors as it
has threads. Needs a Python with torch, transformers and safetensors.

  MODEL            a .gguf file, a folder or an alias (default: smollm2-135m-q4_1)
  --python PATH    the interpreter (default: python3)
  --text NAME      wikitext-2 or brown (default: wikitext-2)
  --samples N      calibration sequences of 256 tokens (default: 128)
  --windows N      windows of 2048 tokens scored by both sides (default: 16)
  --variants N     of the 16, only the first N by the official procedure; its
                   seconds for 16 are then extrapolated, and said to be
  --threads N      of each process (default: 2)
  --cpus LIST      processors to use, for instance 0-7 (default: one of each core first)
  --lanes N        official variants side by side on disjoint processors; only
                   saves wall time, each variant's own seconds are summed (default: 1)
  --json FILE      write everything there too
  --help           this text

Exit code 1 if a perplexity differs by more than 0.1 %, or if hooks take more
than 10 % of transformers' own speed. A missed ratio is a result.`;

/** What is compared, and how. */
export interface PeerSettings {
  readonly model: string;
  readonly python: string;
  readonly text: PeerText;
  readonly samples: number;
  readonly windows: number;
  readonly variants: number;
  readonly threads: number;
  readonly cpus?: readonly number[];
  readonly lanes: number;
  readonly json?: string;
}

/**
 * Reads the options.
 *
 * @param args The arguments.
 * @returns The settings, or undefined where help is asked for.
 * @throws {InputError} If an option is unknown or has a value that is not allowed.
 */
export function parseSettings(
  args: readonly string[],
): PeerSettings | undefined {
  const flags = parseFlags(args, {
    string: [
      "python",
      "text",
      "samples",
      "windows",
      "variants",
      "threads",
      "cpus",
      "lanes",
      "json",
    ],
  });
  if (flags["help"] === true) return undefined;
  if (flags._.length > 1) {
    throw new InputError(
      `Cannot take ${flags._[1]} as at most one MODEL may be given`,
    );
  }
  const variants = integerFlag(flags, "variants", 1) ?? VARIANTS.length;
  if (variants > VARIANTS.length) {
    throw new InputError(
      `option --variants: found ${variants}; allowed: 1 to ${VARIANTS.length}`,
    );
  }
  const lanes = integerFlag(flags, "lanes", 1) ?? 1;
  if (lanes > variants) {
    throw new InputError(
      `option --lanes: found ${lanes}; allowed: 1 to the ${variants} variants`,
    );
  }
  const cpus = flags["cpus"];
  const json = flags["json"];
  return {
    model: flags._[0] ?? "smollm2-135m-q4_1",
    python: String(flags["python"] ?? "python3"),
    text: textOf(flags),
    samples: integerFlag(flags, "samples", 1) ?? 128,
    windows: integerFlag(flags, "windows", 1) ?? 16,
    variants,
    threads: integerFlag(flags, "threads", 1) ?? 2,
    ...(cpus === undefined ? {} : { cpus: parseCpuList(String(cpus)) }),
    lanes,
    ...(json === undefined ? {} : { json: String(json) }),
  };
}

function textOf(flags: Flags): PeerText {
  const found = String(flags["text"] ?? "wikitext-2");
  if (Object.hasOwn(TEXTS, found)) return found as PeerText;
  throw new InputError(
    `option --text: found ${found}; allowed: ${Object.keys(TEXTS).join(", ")}`,
  );
}
