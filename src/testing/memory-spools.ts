import { concatBytes, copyBytes } from '../base/bytes.ts'
import type { Spool, Spools } from '../storage/spool.ts'

/** Spools in memory. */
export class MemorySpools implements Spools {
  open(): Spool {
    const parts: Uint8Array[] = []
    let sizeBytes = 0
    return {
      get sizeBytes() {
        return sizeBytes
      },
      async write(bytes) {
        parts.push(copyBytes(bytes))
        sizeBytes += bytes.length
      },
      async *read(start, end) {
        yield concatBytes(parts).subarray(start, end)
      },
      [Symbol.asyncDispose]: async () => {
        parts.length = 0
      },
    }
  }
}
