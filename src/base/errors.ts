// The error classes that callers are expected to tell apart. Everything else
// throws the nearest built-in (RangeError for a number out of range, TypeError
// for a wrong type). Messages state the action, then the present state:
// "Cannot convert layer 3 as kvLoraRank must be <= 448: current value is 512".

/** A tensor has another shape than its place demands. */
export class ShapeError extends TypeError {
  override name = "ShapeError";
}

/** A checkpoint, tokenizer or text file is broken: truncated, malformed, inconsistent. */
export class CheckpointError extends SyntaxError {
  override name = "CheckpointError";
}

/** A model uses a feature that this suite does not reproduce exactly, and so refuses. */
export class UnsupportedModelError extends Error {
  override name = "UnsupportedModelError";
}

/**
 * What the user asked for cannot be done as asked: a wrong field, a missing
 * file, an impossible combination. The command line prints the message alone
 * and exits with 2.
 */
export class InputError extends Error {
  override name = "InputError";
}

/** A resource that the user named cannot be had here (no network, not in the cache). */
export class UnavailableError extends Error {
  override name = "UnavailableError";
}

/**
 * A file could not be written for want of space: what is on disk is whole, and
 * the same command goes on where it stopped once there is space.
 */
export class DiskFullError extends Error {
  override name = "DiskFullError";
}
