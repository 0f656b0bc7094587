import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'

import type { Clock } from '../../base/clock.ts'

const fullPipeMs = 5
const readBytes = 64 * 1024

/** The writing end of a named pipe, which also keeps the pipe open while nobody reads. */
export class PipeWriter implements Disposable {
  #descriptor: number | undefined

  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  }

  /** Writes more than the pipe holds as it is read, for as long as `isWanted`. */
  async write(text: string, clock: Clock, isWanted: () => boolean): Promise<void> {
    let rest = Buffer.from(text)
    while (rest.length > 0 && isWanted() && this.#descriptor !== undefined) {
      const written = whatGoes(this.#descriptor, (pipe) => writeSync(pipe, rest))
      rest = rest.subarray(written)
      if (written === 0) await clock.sleep(fullPipeMs)
    }
  }

  /** Drops what was written and not read, and says how many bytes. Nobody else reads. */
  empty(): number {
    const descriptor = this.#descriptor
    if (descriptor === undefined) return 0
    const buffer = Buffer.allocUnsafe(readBytes)
    let bytes = 0
    for (;;) {
      const read = whatGoes(descriptor, (pipe) => readSync(pipe, buffer))
      if (read === 0) return bytes
      bytes += read
    }
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}

/** How many bytes went through at once; 0 when the pipe is full, or empty. */
function whatGoes(descriptor: number, act: (descriptor: number) => number): number {
  try {
    return act(descriptor)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0
    throw error
  }
}
