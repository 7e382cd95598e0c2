// What the system says where it refuses a file.

/**
 * The reason of a refusal alone, for messages that name the file themselves.
 *
 * @param error As Deno throws it: "No such file or directory (os error 2): open 'a'".
 * @returns "No such file or directory (os error 2)"
 */
export function systemReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n")[0]!.replace(/: \w+ '[^']*'.*$/, "");
}
