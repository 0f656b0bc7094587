import { readFileSync } from 'node:fs'

/** How often processes of a control group came up against one of its limits, since it was made. */
export interface BoundCounts {
  readonly memory: number
  readonly processes: number
}

export const noBoundCounts: BoundCounts = { memory: 0, processes: 0 }

const root = '/sys/fs/cgroup'

/**
 * Counted by the kernel for the container whose first process has this id on this machine. Zero
 * where the kernel, or another user's container, does not let it be read.
 */
export function boundCountsOf(pid: number, containerId: string): BoundCounts {
  const groups = readText(`/proc/${pid}/cgroup`)
  // Another process may have the number, of this or another machine.
  if (!groups.includes(containerId)) return noBoundCounts
  return {
    memory: countIn(groups, 'memory', ['memory.events', 'memory.oom_control'], 'oom_kill'),
    processes: countIn(groups, 'pids', ['pids.events'], 'max'),
  }
}

/** Of version 1, where each controller has groups of its own, or of version 2, where all share one. */
function countIn(
  groups: string,
  controller: string,
  files: readonly string[],
  event: string,
): number {
  const own = new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, 'm').exec(groups)?.[1]
  const shared = /^0::(.*)$/m.exec(groups)?.[1]
  const directory = own === undefined ? `${root}${shared ?? ''}` : `${root}/${controller}${own}`
  for (const file of files) {
    const text = readText(`${directory}/${file}`)
    const count = new RegExp(`^${event} (\\d+)$`, 'm').exec(text)?.[1]
    if (count !== undefined) return Number(count)
  }
  return 0
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
