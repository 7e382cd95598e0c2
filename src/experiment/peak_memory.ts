// The highest resident memory of this process, since it began or since a reset.
// Linux counts it anew after "5" is written to /proc/self/clear_refs (man 5 proc).
// Deno keeps /proc from all but --allow-all, so the C library reads and writes it:
// an engine process may load native code.

import process from "node:process";

/** Peak resident memory, and since when. */
export interface PeakMemory {
  readonly bytes: number;
  /** "cell": since reset(). "process": since the process began. */
  readonly scope: "cell" | "process";
}

const SYMBOLS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

const O_RDONLY = 0;
const O_WRONLY = 1;

/** Bytes of /proc/self/status that are read: VmHWM is near its beginning. */
const STATUS_BYTES = 4096;

/** Counts this process's peak memory. */
export class PeakMemoryMeter {
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;
  #wasReset = false;

  constructor() {
    this.#library = loadLibrary();
  }

  /** Begins anew, where the system lets it. */
  reset(): void {
    this.#wasReset = this.#through(
      "/proc/self/clear_refs",
      O_WRONLY,
      (library, file) =>
        library.write(file, new TextEncoder().encode("5"), 1n) === 1n,
    ) ?? false;
  }

  /** The peak since the latest reset(), or since the process began. */
  read(): PeakMemory {
    const resident = Deno.memoryUsage().rss;
    const peak = this.#wasReset ? this.#highWaterMark() : undefined;
    if (peak !== undefined) {
      return { bytes: Math.max(peak, resident), scope: "cell" };
    }
    // The kernel counts this one from the parent's fork on.
    const ever = process.resourceUsage().maxRSS * 1024;
    return { bytes: Math.max(ever, resident), scope: "process" };
  }

  /** Lets the C library go. */
  close(): void {
    this.#library?.close();
  }

  #highWaterMark(): number | undefined {
    const status = this.#through(
      "/proc/self/status",
      O_RDONLY,
      (library, file) => {
        const bytes = new Uint8Array(STATUS_BYTES);
        const count = Number(library.read(file, bytes, BigInt(bytes.length)));
        return new TextDecoder().decode(bytes.subarray(0, Math.max(0, count)));
      },
    );
    const kibibytes = /^VmHWM:\s*(\d+) kB$/m.exec(status ?? "")?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  }

  #through<T>(
    path: string,
    flags: number,
    use: (
      library: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"],
      file: number,
    ) => T,
  ): T | undefined {
    if (this.#library === undefined) return undefined;
    const { symbols } = this.#library;
    const file = symbols.open(new TextEncoder().encode(`${path}\0`), flags);
    if (file < 0) return undefined;
    try {
      return use(symbols, file);
    } finally {
      symbols.close(file);
    }
  }
}

function loadLibrary(): Deno.DynamicLibrary<typeof SYMBOLS> | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    return Deno.dlopen("libc.so.6", SYMBOLS);
  } catch {
    // No native code for this process, or another C library.
    return undefined;
  }
}
