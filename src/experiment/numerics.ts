// The version of what the suite computes; part of every cell's id.

/**
 * Raised by hand whenever a figure may come out differently: another order of
 * operations in an engine, a corrected conversion. A cell of an older version
 * is then measured again. tests/experiment_numerics_test.ts fails if the tiny
 * models' outputs change and this number does not.
 */
export const NUMERICS_VERSION = 1;
