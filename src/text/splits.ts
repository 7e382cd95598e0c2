// Calibration and test never share text.

import { InputError } from "../base/errors.ts";
import type { TextSource } from "./text_source.ts";

/** Words of a piece: the length that GPT-3's decontamination settled on (arXiv 2005.14165, appendix C). */
const PIECE_WORDS = 13;
/** Texts that quote the same sources share a few pieces; more is a leak. */
const MAX_SHARED = 0.01;

/**
 * Refuses a calibration and a test text that overlap: of the same content, one
 * containing the other, or more than 1 % of one text's consecutive pieces of 13
 * words found anywhere in the other (letter case and white space aside, so
 * another split in rows does not hide a copy).
 *
 * @param calibration What statistics or options are chosen on.
 * @param test What is measured on.
 * @throws {InputError} If they overlap.
 */
export function assertDisjoint(
  calibration: TextSource,
  test: TextSource,
): void {
  const pair = `on ${calibration.name} and measure on ${test.name}`;
  if (
    calibration.name === test.name || calibration.sha256 === test.sha256
  ) {
    throw new InputError(
      `Cannot calibrate ${pair} as they are the same text (sha256 ${test.sha256})`,
    );
  }
  const calibrationWords = words(calibration.text);
  const testWords = words(test.text);
  const inner = ` ${testWords.join(" ")} `;
  const outer = ` ${calibrationWords.join(" ")} `;
  if (outer.includes(inner) || inner.includes(outer)) {
    throw new InputError(
      `Cannot calibrate ${pair} as one text contains the other`,
    );
  }
  checkShare(pair, testWords, "test", calibrationWords, "calibration");
  checkShare(pair, calibrationWords, "calibration", testWords, "test");
}

/** Refuses if too many of `from`'s pieces occur at any place of `within`. */
function checkShare(
  pair: string,
  from: readonly string[],
  fromName: string,
  within: readonly string[],
  withinName: string,
): void {
  const pieces = new Set<string>();
  for (let i = 0; i + PIECE_WORDS <= from.length; i += PIECE_WORDS) {
    pieces.add(pieceAt(from, i));
  }
  const total = pieces.size;
  for (let i = 0; i + PIECE_WORDS <= within.length; i++) {
    pieces.delete(pieceAt(within, i));
  }
  const shared = total - pieces.size;
  if (shared > MAX_SHARED * total) {
    throw new InputError(
      `Cannot calibrate ${pair} as at most ${
        MAX_SHARED * 100
      } % of the ${fromName} text's pieces of ${PIECE_WORDS} words may occur in the ${withinName} text: ${shared} of ${total} do`,
    );
  }
}

function pieceAt(all: readonly string[], start: number): string {
  return all.slice(start, start + PIECE_WORDS).join(" ");
}

function words(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter((word) => word !== "");
}
