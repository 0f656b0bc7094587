import { openFilesLimit } from '../storage/open-files.ts'

/** Each costs a few KiB to some 50 KiB, whatever it does. */
const connectionsMax = 10_000
/** Files that the server itself has open: packs, metadata, inputs and logs of datums. */
const ownFilesMax = 1000

/**
 * How many connections may be open at once, so that callers never use up what the server needs for
 * its own files: a quarter of what the system allows, or all but a thousand.
 */
export function connectionCountMax(openFilesMax: number = openFilesLimit()): number {
  const spared = Math.max(openFilesMax - ownFilesMax, Math.floor(openFilesMax / 4))
  return Math.min(connectionsMax, spared)
}
