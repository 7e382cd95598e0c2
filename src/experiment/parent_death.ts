// An engine process whose parent was killed. It learns of that by the end of its
// standard input, but only between two steps: a long product or an eigensolver
// would run on for minutes for nobody.

import process from "node:process";

/** Of Linux: prctl(2), signal(7). */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9n;

/**
 * Asks the kernel to kill this process when its parent ends, where it can:
 * elsewhere the end of standard input has to do.
 *
 * @returns Whether the kernel will.
 */
export function dieWithParent(): boolean {
  if (Deno.build.os !== "linux") return false;
  const parent = process.ppid;
  try {
    const libc = Deno.dlopen("libc.so.6", {
      prctl: {
        parameters: ["i32", "u64", "u64", "u64", "u64"],
        result: "i32",
      },
    });
    const refused = libc.symbols.prctl(PR_SET_PDEATHSIG, SIGKILL, 0n, 0n, 0n);
    libc.close();
    if (refused !== 0) return false;
  } catch {
    // Another C library.
    return false;
  }
  // It may have ended before the kernel was asked.
  if (process.ppid !== parent) Deno.exit(1);
  return true;
}
