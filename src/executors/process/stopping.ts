import { readFileSync } from 'node:fs'

import type { Clock } from '../../base/clock.ts'
import { type InNextTurn, Turns } from '../../base/turns.ts'
import { threadsOf } from './child-processes.ts'

/** Of more processes, or of more threads, it takes too long to find out that none of them runs. */
export const stoppedMax = 512
const threadsMax = 2048
const roundsMax = 200
/** Those after which there is no pause: for what is on its way to a stop, which may need this processor. */
const quickRoundsMax = 2
const pauseMs = 1
/** A turn, not a time: no clock could say it. */
// oxlint-disable-next-line no-restricted-globals
const inNextTurn: InNextTurn = setImmediate

/** What was seen of some processes: the same text twice, if none of their threads has run meanwhile. */
interface Sight {
  readonly text: string
  readonly areStopped: boolean
  /** Those that have not ended. */
  readonly pids: readonly number[]
}

/**
 * Stops processes of this machine, and makes sure of it: once it answers with their numbers, none of
 * them runs, or can be made to by another of them. Undefined when they cannot be stopped: they wake
 * each other, belong to another user, or are very many. `list` names them, each time anew: all of them, or more
 * than `stoppedMax`.
 *
 * A signal alone proves nothing, for one that still runs may continue another. So they are looked
 * at twice: whoever was stopped both times, and was not switched to in between, was stopped at the
 * moment between the two, and so were all others.
 */
export async function stopAll(
  list: () => readonly number[],
  clock: Clock,
): Promise<readonly number[] | undefined> {
  const turns = new Turns(clock, inNextTurn)
  for (let round = 0; round < roundsMax; round += 1) {
    const pids = list()
    if (pids.length > stoppedMax) return undefined
    if (!pids.every((pid) => signal(pid, 'SIGSTOP'))) return undefined
    const first = await sightOf(pids, turns)
    if (first === undefined) return undefined
    if (first.areStopped && (await sightOf(list(), turns))?.text === first.text) return first.pids
    if (round < quickRoundsMax) await nextTurn()
    else await clock.sleep(pauseMs)
  }
  return undefined
}

async function nextTurn(): Promise<void> {
  await new Promise<void>((resolve) => {
    inNextTurn(resolve)
  })
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

/** Undefined when there is too much to be seen. */
async function sightOf(pids: readonly number[], turns: Turns): Promise<Sight | undefined> {
  let areStopped = true
  let text = ''
  let threadCount = 0
  const alive = new Set<number>()
  for (const pid of pids) {
    for (const thread of runningThreadsOf(pid)) {
      threadCount += 1
      if (threadCount > threadsMax) return undefined
      const turn = turns.next()
      if (turn !== undefined) await turn
      const status = statusOf(`/proc/${pid}/task/${thread}/status`)
      // The first thread may have ended, and others of the process not.
      if (status === '' || /^State:\t[ZX]/m.test(status)) continue
      alive.add(pid)
      areStopped &&= /^State:\tT/m.test(status)
      text += `${thread} ${status.slice(status.lastIndexOf('\nvoluntary_ctxt_switches'))}`
    }
  }
  return { text, areStopped, pids: [...alive] }
}

function runningThreadsOf(pid: number): readonly string[] {
  try {
    return threadsOf(pid)
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
