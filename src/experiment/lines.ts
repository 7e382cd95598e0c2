// Lines of a byte stream.

/**
 * Splits UTF-8 bytes at "\n"; blank lines are left out, a last line without
 * "\n" is kept.
 *
 * @param stream Read to its end.
 */
export async function* decodedLines(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const line of parts) if (line.trim() !== "") yield line;
  }
  rest += decoder.decode();
  if (rest.trim() !== "") yield rest;
}
