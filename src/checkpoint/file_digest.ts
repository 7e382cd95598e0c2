// sha256 of files too large for memory; Web Crypto cannot hash a stream.

import { createHash } from "node:crypto";

/**
 * Hashes a file.
 *
 * @param path The file.
 * @param options `algorithm`, sha256 by default; `prefix`, text hashed before the file.
 * @returns The digest, hex.
 */
export async function fileDigest(
  path: string,
  options: { algorithm?: "sha256" | "sha1"; prefix?: string } = {},
): Promise<string> {
  const hash = createHash(options.algorithm ?? "sha256");
  if (options.prefix !== undefined) hash.update(options.prefix);
  using file = await Deno.open(path);
  const buffer = new Uint8Array(1 << 20);
  for (;;) {
    const count = await file.read(buffer);
    if (count === null) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
  }
}
