import { readFileSync } from 'node:fs'

import type { ProcessCounts } from '../process/process-watch.ts'

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
  const groups = groupsOf(pid, containerId)
  return {
    memory: countIn(groups, 'memory', ['memory.events', 'memory.oom_control'], 'oom_kill'),
    processes: countIn(groups, 'pids', ['pids.events'], 'max'),
  }
}

/** The same of its processes and threads, and whether there are as many as there may be. */
export function processCountsOf(pid: number, containerId: string): ProcessCounts {
  const groups = groupsOf(pid, containerId)
  const directory = directoryOf(groups, 'pids')
  const current = readText(`${directory}/pids.current`)
  const max = readText(`${directory}/pids.max`)
  return {
    refusedCount: countIn(groups, 'pids', ['pids.events'], 'max'),
    isAtBound: max !== '' && Number(current) >= Number(max),
  }
}

/** Whether the container's first process is traced, stopped, or was left so by whoever did it. */
export function isTraced(pid: number, containerId: string): boolean {
  const status = readText(`/proc/${pid}/status`)
  const isHeld = /^State:\t[Tt]|^TracerPid:\t[1-9]/m.test(status)
  return isHeld && groupsOf(pid, containerId) !== ''
}

/** Fields of `/proc/PID/stat` after the name in brackets: priority and nice, and how it is scheduled. */
const inheritedAt = [15, 16, 38]

/**
 * What the container's first process hands on to all that it starts, and user code can set: limits,
 * priority, processors, and how soon it is ended when memory runs short. Empty where it cannot be read.
 */
export function inheritedStateOf(pid: number, containerId: string): string {
  if (groupsOf(pid, containerId) === '') return ''
  const fields = readText(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ')
  const score = readText(`/proc/${pid}/oom_score_adj`)
  const limits = readText(`/proc/${pid}/limits`)
  const processors = /^Cpus_allowed:.*$/m.exec(readText(`/proc/${pid}/status`))?.[0] ?? ''
  return [...inheritedAt.map((at) => fields[at] ?? ''), processors, score, limits].join('\n')
}

/** What the kernel says of its groups; nothing where another process has the number. */
function groupsOf(pid: number, containerId: string): string {
  const groups = readText(`/proc/${pid}/cgroup`)
  return groups.includes(containerId) ? groups : ''
}

function countIn(
  groups: string,
  controller: string,
  files: readonly string[],
  event: string,
): number {
  for (const file of files) {
    const text = readText(`${directoryOf(groups, controller)}/${file}`)
    const count = new RegExp(`^${event} (\\d+)$`, 'm').exec(text)?.[1]
    if (count !== undefined) return Number(count)
  }
  return 0
}

/** Of version 1, where each controller has groups of its own, or of version 2, where all share one. */
function directoryOf(groups: string, controller: string): string {
  const own = new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, 'm').exec(groups)?.[1]
  if (own !== undefined) return `${root}/${controller}${own}`
  return `${root}${/^0::(.*)$/m.exec(groups)?.[1] ?? ''}`
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
