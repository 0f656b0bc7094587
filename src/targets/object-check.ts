import { createHash } from 'node:crypto'
import { equalBytes } from '../base/bytes.ts'

/** A run of bytes of a file, with its SHA-256. */
interface ExpectedRun {
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

/** Whether `bytes` are those of `runs`, all of them and no more. Holds one slice. */
export async function areBytesOf(
  bytes: AsyncIterable<Uint8Array>,
  runs: AsyncIterable<ExpectedRun>,
): Promise<boolean> {
  const slices = bytes[Symbol.asyncIterator]()
  let slice: Uint8Array = new Uint8Array()
  try {
    for await (const { hash, sizeBytes } of runs) {
      const digest = createHash('sha256')
      for (let left = sizeBytes; left > 0;) {
        while (slice.length === 0) {
          const next = await slices.next()
          if (next.done === true) return false
          slice = next.value
        }
        const part = slice.subarray(0, left)
        digest.update(part)
        left -= part.length
        slice = slice.subarray(part.length)
      }
      if (!equalBytes(digest.digest(), hash)) return false
    }
    for (;;) {
      if (slice.length > 0) return false
      const next = await slices.next()
      if (next.done === true) return true
      slice = next.value
    }
  } finally {
    await slices.return?.()
  }
}
