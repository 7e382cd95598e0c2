// A file read by byte ranges. Reads are synchronous, so that two readers of one
// handle cannot move each other's position between seek and read.

import { CheckpointError } from "../base/errors.ts";

/** A read-only file of known size. */
export class RandomAccessFile {
  readonly path: string;
  /** Bytes, when it was opened. */
  readonly size: number;
  #file: Deno.FsFile;
  #closed = false;

  private constructor(path: string, file: Deno.FsFile, size: number) {
    this.path = path;
    this.size = size;
    this.#file = file;
  }

  /**
   * Opens a file.
   *
   * @throws {CheckpointError} If it is not a regular file.
   * @throws {Deno.errors.NotFound} If there is none.
   */
  static async open(path: string): Promise<RandomAccessFile> {
    const info = await Deno.stat(path);
    if (!info.isFile) {
      throw new CheckpointError(`Cannot read ${path} as it is not a file`);
    }
    return new RandomAccessFile(path, await Deno.open(path), info.size);
  }

  /**
   * Reads `length` bytes from `offset` on.
   *
   * @throws {CheckpointError} If the range is not wholly inside the file.
   */
  read(offset: number, length: number): Uint8Array {
    if (
      !Number.isSafeInteger(offset) || !Number.isSafeInteger(length) ||
      offset < 0 || length < 0 || offset + length > this.size
    ) {
      throw new CheckpointError(
        `Cannot read bytes ${offset} to ${
          offset + length
        } of ${this.path} as it has ${this.size}: the file is truncated or its header is wrong`,
      );
    }
    const bytes = new Uint8Array(length);
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let filled = 0; filled < length;) {
      const count = this.#file.readSync(bytes.subarray(filled));
      if (count === null) {
        throw new CheckpointError(
          `Cannot read ${this.path} as it became shorter while it was open`,
        );
      }
      filled += count;
    }
    return bytes;
  }

  close(): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }
}
