import { spawn } from 'node:child_process'

import { type Clock, waitAtMost } from '../../base/clock.ts'
import type { Mount } from '../../base/mount-table.ts'
import { readMounts } from '../mount-table.ts'

/** File systems that wait for others: a program, or another machine. */
const remoteTypes =
  /^(fuse(blk)?(\..+)?|nfs4?|cifs|smb3|9p|ceph|lustre|afs|gpfs|virtiofs|orangefs)$/
const namedMax = 5
const askedMax = 50
/** One that answers does so at once, unless the machine is overloaded. */
const answerMsMax = 1000

/** What of the machine is mounted from where it may not be answered. */
export function remoteMounts(mounts: readonly Mount[] = readMounts()): readonly Mount[] {
  return mounts.filter(({ type }) => remoteTypes.test(type))
}

/**
 * Why it takes so long to make a sandbox, which looks at all that is mounted: `silent` of `mounts` did not
 * answer just now.
 */
export function lateText(ms: number, mounts: readonly Mount[], silent: readonly Mount[]): string {
  const text = `it was not ready after ${ms / 1000} seconds`
  if (silent.length > 0) {
    const verb = silent.length === 1 ? 'does' : 'do'
    return `${text}: ${namesOf(silent)} ${verb} not answer; mend or unmount what hangs (umount -f -l)`
  }
  const causes = `${text}: the machine is overloaded, or a disk does not answer`
  if (mounts.length === 0) return causes
  return `${causes} (see whether these do: ${namesOf(mounts)}; mend or unmount them)`
}

function namesOf(mounts: readonly Mount[]): string {
  const named = mounts.slice(0, namedMax).map(({ point, type }) => `${point} (${type})`)
  return named.join(', ') + (mounts.length > namedMax ? ' and others' : '')
}

/** Tells which mounts of the machine answer. */
export class RemoteMounts {
  readonly #clock: Clock
  /** By mount point: those who ask, and have no answer. One that hangs stays until it gets one. */
  readonly #asking = new Map<string, Promise<void>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Why a sandbox was not ready after so long. */
  async lateText(ms: number): Promise<string> {
    const mounts = remoteMounts()
    return lateText(ms, mounts, await this.#silentOf(mounts))
  }

  async #silentOf(mounts: readonly Mount[]): Promise<readonly Mount[]> {
    const asked = mounts.slice(0, askedMax)
    const answers = Promise.all(asked.map(({ point }) => this.#ask(point)))
    await waitAtMost(
      this.#clock,
      answerMsMax,
      answers.then(() => {}),
    )
    return asked.filter(({ point }) => this.#asking.has(point))
  }

  /** Resolves when the mount has answered, whatever it says: its file system is asked, of which nothing is kept. */
  #ask(point: string): Promise<void> {
    const before = this.#asking.get(point)
    if (before !== undefined) return before
    const child = spawn('stat', ['-f', '--', point], { stdio: 'ignore', detached: true })
    child.unref()
    const answered = new Promise<void>((resolve) => {
      const end = (): void => {
        this.#asking.delete(point)
        resolve()
      }
      child.once('exit', end).once('error', end)
    })
    this.#asking.set(point, answered)
    return answered
  }
}
