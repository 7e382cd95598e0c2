// Loads beyond these are mistakes: no memory holds them.

/** Sequences at once. */
export const MOST_SEQUENCES = 1 << 16;

/** Tokens of a sequence. */
export const MOST_TOKENS = 1 << 24;
