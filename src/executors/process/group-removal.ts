import { existsSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { Clock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import type { Leftover } from '../leftovers.ts'

const killRoundsMax = 500
/** How process executors call theirs. */
const serverGroups = /^pachyderm-[0-9a-f]{16}$/
/** An empty group that tells whose the one around it is. */
const livingGroup = /^server-(\d+)$/
const leftMs = 10 * 60_000
/** Of all hierarchies together. */
const lookedAtMax = 10_000
const microsPerMilli = 1000
const namedPidsMax = 5

/** The group that tells that the server of this process lives. */
export function livingGroupName(): string {
  return `server-${process.pid}`
}

/**
 * Removes the groups of servers that were killed, and whose directories nobody has used since, wherever
 * below `tops` they are: a server may have been started in another group than this one.
 */
export async function removeLeftGroups(
  tops: readonly string[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const beforeMs = clock.now() / microsPerMilli - leftMs
  const found = [...tops]
  for (const [index, directory] of found.entries()) {
    if (signal.aborted || index >= lookedAtMax) return
    for (const name of await groupsIn(directory)) {
      const path = join(directory, name)
      if (serverGroups.test(name)) removeLeftQuietly(path, beforeMs)
      else found.push(path)
    }
  }
}

async function groupsIn(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    // It has gone, or is another user's.
    return []
  }
}

function removeLeftQuietly(directory: string, beforeMs: number): void {
  try {
    removeLeft(directory, beforeMs)
  } catch {
    // It is in use, or another user's.
  }
}

/** @throws when its server lives, something is in it, or it was made later than that. */
function removeLeft(directory: string, beforeMs: number): void {
  const names = subgroupsOf(directory)
  const pids = names.map((name) => livingGroup.exec(name)?.[1])
  if (pids.some((pid) => pid !== undefined && existsSync(`/proc/${pid}`))) {
    throw new Error('its server lives')
  }
  if (statSync(directory).mtimeMs > beforeMs) throw new Error('it is new')
  for (const name of names) removeLeft(join(directory, name), beforeMs)
  // The kernel removes none that has a process.
  rmdirSync(directory)
}

export function subgroupsOf(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
}

/** Removes one in which nothing has been yet. */
export function removeEmptyGroup(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // It was not made, or another has it.
  }
}

/** Ends all that is in a group and those below it; there may be none. */
export async function killGroup(directory: string, clock: Clock): Promise<void> {
  if (!existsSync(directory)) return
  for (const name of subgroupsOf(directory)) await killGroup(join(directory, name), clock)
  await killAll(directory, clock)
}

/**
 * The same, and removes them.
 *
 * @throws {UnavailableError} when something in it does not end: the kernel lets nobody end who waits for
 *   some disks.
 */
export async function removeGroup(directory: string, clock: Clock): Promise<void> {
  if (!existsSync(directory)) return
  for (const name of subgroupsOf(directory)) await removeGroup(join(directory, name), clock)
  await killAll(directory, clock)
  try {
    rmdirSync(directory)
  } catch (error) {
    const pids = processesIn(directory)
    if (pids.length === 0) throw error
    const named = pids.slice(0, namedPidsMax).join(', ')
    throw new UnavailableError(
      `processes in it do not end though they are killed (${named}): a disk that they wait for does not answer`,
      { cause: error },
    )
  }
}

/** A group that is removed as soon as that can be. */
export function groupLeftover(directory: string, clock: Clock): Leftover {
  return {
    what: `control group ${directory}`,
    async remove() {
      await removeGroup(directory, clock)
      return true
    },
  }
}

export async function killAll(directory: string, clock: Clock): Promise<void> {
  for (let round = 0; round < killRoundsMax; round += 1) {
    const pids = processesIn(directory)
    if (pids.length === 0) return
    // The kernel writes 0 for one that is just ending; to signal 0 is to signal this process's own group.
    for (const pid of pids) if (pid !== 0) killQuietly(pid)
    await clock.sleep(1)
  }
}

export function processesIn(directory: string): readonly number[] {
  const text = readFileSync(join(directory, 'cgroup.procs'), 'utf8')
  return text.split('\n').filter(Boolean).map(Number)
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
