import { readFileSync, writeFileSync } from 'node:fs'

const limitFile = '/proc/sys/fs/epoll/max_user_watches'
/** No watch takes less of the kernel's memory. */
const watchBytesMin = 128

/** How a limit of the machine was, and is now. */
export interface RaisedLimit {
  readonly before: number
  readonly after: number
}

/**
 * The kernel counts the watches of `epoll` for each user of the machine. User code that is this process's user could
 * take them all, and without one left, this process ends. So more are allowed than `memoryBytes` have room for, and
 * what bounds the memory of user code bounds its watches. Undefined where there are enough, or this process may
 * not say how many.
 */
export function allowEpollWatches(
  memoryBytes: number,
  file: string = limitFile,
): RaisedLimit | undefined {
  try {
    const before = Number(readFileSync(file, 'utf8'))
    const after = Math.ceil(memoryBytes / watchBytesMin)
    if (!(before < after)) return undefined
    writeFileSync(file, `${after}\n`)
    return { before, after }
  } catch {
    return undefined
  }
}
