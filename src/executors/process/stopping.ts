import { readdirSync, readFileSync } from 'node:fs'

import type { Clock } from '../../base/clock.ts'

const roundsMax = 200
const pauseMs = 1

/** What was seen of the threads of some processes: the same text twice, if none has run meanwhile. */
interface Sight {
  readonly text: string
  readonly areStopped: boolean
}

/**
 * Stops processes of this machine, and makes sure of it: once it answers with their numbers, none of
 * them runs, or can be made to by another of them. Undefined when they cannot be stopped: they wake
 * each other, or belong to another user. `list` names all of them, each time anew.
 *
 * A signal alone proves nothing, for one that still runs may continue another. So they are looked
 * at twice: whoever was stopped both times, and was not switched to in between, was stopped at the
 * moment between the two, and so were all others.
 */
export async function stopAll(
  list: () => readonly number[],
  clock: Clock,
): Promise<readonly number[] | undefined> {
  for (let round = 0; round < roundsMax; round += 1) {
    const pids = list().filter((pid) => !isZombie(pid))
    if (!pids.every((pid) => signal(pid, 'SIGSTOP'))) return undefined
    const first = sightOf(pids)
    if (first.areStopped) {
      const again = list().filter((pid) => !isZombie(pid))
      if (sightOf(again).text === first.text) return pids
    }
    // The first rounds are for those that are on their way to a stop.
    if (round > 3) await clock.sleep(pauseMs)
  }
  return undefined
}

/** Has them run again. */
export function continueAll(pids: readonly number[]): void {
  for (const pid of pids) signal(pid, 'SIGCONT')
}

/** Ends them; those that are not this user's stay. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) signal(pid, 'SIGKILL')
}

/** False when this user may not; true, too, for a process that has ended. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name)
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'EPERM')
  }
  return true
}

function isZombie(pid: number): boolean {
  return /^State:\t[ZX]/m.test(statusOf(`/proc/${pid}/status`))
}

function sightOf(pids: readonly number[]): Sight {
  let areStopped = true
  let text = ''
  for (const pid of pids) {
    for (const thread of threadsOf(pid)) {
      const status = statusOf(`/proc/${pid}/task/${thread}/status`)
      areStopped &&= /^State:\tT/m.test(status)
      text += `${thread} ${/^voluntary_ctxt_switches[^]*/m.exec(status)?.[0]}`
    }
  }
  return { text, areStopped }
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    // It has ended.
    return []
  }
}

/** Empty for what has ended. */
function statusOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
