import { readFile } from 'node:fs/promises'

/**
 * The most memory that this process has used. Where there is one, the peak of this process image
 * alone: `maxRSS` starts at what the parent held when it started this process.
 */
export async function peakMemoryKib(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return peak === undefined ? process.resourceUsage().maxRSS : Number(peak)
}
