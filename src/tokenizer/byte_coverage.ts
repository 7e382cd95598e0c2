// Which texts a BPE vocabulary can spell. Where a character has no token and there
// is no unknown token, this library and the reference implementation both drop it
// in silence.

type Json = Readonly<Record<string, unknown>>;

/**
 * Bytes that a byte-level vocabulary without an unknown token does not have.
 *
 * @param root A tokenizer.json.
 * @param model Its BPE model.
 * @returns The bytes, none where an unknown token or byte fallback stands for them; undefined where the vocabulary is not of bytes.
 */
export function bytesWithoutToken(
  root: Json,
  model: Json,
): readonly number[] | undefined {
  if (typeof model.unk_token === "string" || model.byte_fallback === true) {
    return [];
  }
  if (!isByteLevel(root.pre_tokenizer) && !isByteLevel(root.normalizer)) {
    return undefined;
  }
  const vocab = model.vocab as Json;
  return byteCharacters().flatMap((character, byte) =>
    Object.hasOwn(vocab, character) ? [] : [byte]
  );
}

/** Whether a step, or one of a sequence, maps bytes to characters. */
function isByteLevel(step: unknown): boolean {
  if (typeof step !== "object" || step === null) return false;
  const { type, pretokenizers, normalizers } = step as Json;
  return type === "ByteLevel" ||
    [pretokenizers, normalizers].flat().some(isByteLevel);
}

/** GPT-2's printable stand-ins of the 256 bytes, in byte order. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 32 && byte < 127) ||
      (byte > 160 && byte !== 173);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}
