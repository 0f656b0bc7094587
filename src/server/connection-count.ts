import { readFileSync } from 'node:fs'

/** Each costs a few KiB to some 50 KiB, whatever it does. */
const connectionsMax = 10_000
/** Files that the server itself has open: packs, metadata, inputs and logs of datums. */
const ownFilesMax = 1000

/**
 * How many connections may be open at once, so that callers never use up what the server needs for
 * its own files: a quarter of what the system allows, or all but a thousand.
 */
export function connectionCountMax(openFilesMax: number = allowedOpenFiles()): number {
  const spared = Math.max(openFilesMax - ownFilesMax, Math.floor(openFilesMax / 4))
  return Math.min(connectionsMax, spared)
}

/** Node has raised the soft limit to the hard one when it started. */
function allowedOpenFiles(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const text = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
    return text === undefined ? Infinity : Number(text)
  } catch {
    return Infinity // no such file on this system, and no cheap way to ask
  }
}
