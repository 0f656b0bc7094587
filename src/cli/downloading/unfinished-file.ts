import {
  closeSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
  writevSync,
} from 'node:fs'

/** Of a file that does not come to its end, this much is worth going on with. */
const keptBytesMin = 4 * 1024 * 1024

/** A file that gets its name when it is whole. Disposing of it before gives it up. */
export class UnfinishedFile implements Disposable {
  readonly #path: string
  readonly #target: string
  #descriptor: number | undefined
  #sizeBytes: number

  /** Takes over an open file. */
  private constructor(
    descriptor: number,
    {
      path,
      target,
      sizeBytes,
    }: { readonly path: string; readonly target: string; readonly sizeBytes: number },
  ) {
    this.#descriptor = descriptor
    this.#path = path
    this.#target = target
    this.#sizeBytes = sizeBytes
  }

  /** A new file at `path`, which nobody else uses, to become `target`. */
  static create(path: string, target: string): UnfinishedFile {
    rmSync(path, { force: true }) // what was given up before
    // Fails for a link, too, wherever that leads.
    return new UnfinishedFile(openSync(path, 'wx'), { path, target, sizeBytes: 0 })
  }

  /** Goes on with the file at `path`, of which the first `sizeBytes` are known to be right. */
  static resume(path: string, target: string, sizeBytes: number): UnfinishedFile {
    const descriptor = openSync(path, 'a')
    const file = new UnfinishedFile(descriptor, { path, target, sizeBytes })
    ftruncateSync(descriptor, sizeBytes)
    return file
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  write(slices: readonly Uint8Array[]): void {
    if (this.#descriptor === undefined) return
    writeWhole(this.#descriptor, slices)
    for (const slice of slices) this.#sizeBytes += slice.length
  }

  /** It is whole: gives it its name, in place of what had that before. */
  finish(): void {
    this.#close()
    try {
      renameSync(this.#path, this.#target)
    } catch (error) {
      this.#giveUp()
      throw error
    }
  }

  [Symbol.dispose](): void {
    if (this.#descriptor === undefined) return
    this.#close()
    this.#giveUp()
  }

  /** Keeps what is worth it, for somebody to go on with. */
  #giveUp(): void {
    if (this.#sizeBytes < keptBytesMin) rmSync(this.#path, { force: true })
  }

  #close(): void {
    if (this.#descriptor === undefined) return
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    closeSync(descriptor)
  }
}

/** Writes all of it: the system may take less at once. */
export function writeWhole(descriptor: number, slices: readonly Uint8Array[]): void {
  let left = slices.filter((slice) => slice.length > 0)
  while (left.length > 0) {
    const [first] = left
    let written =
      first !== undefined && left.length === 1
        ? writeSync(descriptor, first)
        : writevSync(descriptor, left)
    left = left.flatMap((slice) => {
      const taken = Math.min(written, slice.length)
      written -= taken
      return taken === slice.length ? [] : [slice.subarray(taken)]
    })
  }
}
