import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { FailedPreconditionError } from '../../base/errors.ts'
import { newHexId, SystemRandom } from '../../base/random.ts'
import { exactNames, type NameForms } from './local-names.ts'

/** In the directory that files are stored in: what is unfinished, so that no half file has its name. */
export const stagingName = '.pachctl-part'

const entryPattern = /^(\d+)\.[0-9a-f]{8}\.(.+)$/

/** Where files are before they are whole, on the same disk as the place that they go to. */
export class Staging {
  readonly directory: string
  readonly #mark = `${process.pid}.${newHexId(new SystemRandom()).slice(0, 8)}`
  #isThere = false
  #count = 0

  /** `target` is there already; the directory for unfinished files is made with the first of them. */
  constructor(target: string) {
    this.directory = join(target, stagingName)
  }

  /** A path for a new file. */
  newPath(): string {
    this.#prepare()
    this.#count += 1
    return join(this.directory, `${this.#mark}.${this.#count}`)
  }

  /** A path for a file whose hash is known, so that another process can go on with it. */
  pathOf(hash: string): string {
    this.#prepare()
    return join(this.directory, `${this.#mark}.${hash}`)
  }

  /** Takes over what a process that has ended left of a file; undefined when there is nothing. */
  adopt(hash: string): string | undefined {
    for (const [name, key] of this.#left()) {
      if (key !== hash) continue
      const own = this.pathOf(hash)
      renameSync(join(this.directory, name), own)
      return own
    }
    return undefined
  }

  /** Removes what processes that have ended left: all of it, or what nobody can go on with. */
  clear(what: 'all' | 'unknown'): void {
    for (const [name, key] of this.#left()) {
      if (what === 'all' || !isHash(key)) rmSync(join(this.directory, name), { force: true })
    }
  }

  /** Removes what processes that have ended left of a file that is whole now. */
  forget(hash: string): void {
    for (const [name, key] of this.#left()) {
      if (key === hash) rmSync(join(this.directory, name), { force: true })
    }
  }

  /** Removes the directory, unless something is in it. */
  close(): void {
    if (!this.#isThere) return
    try {
      rmdirSync(this.directory)
    } catch {
      // Another process is at work, or something is to be gone on with.
    }
    this.#isThere = false
  }

  /** Finds out which names the file system takes for one. */
  nameForms(): NameForms {
    // In upper case and with an accent in one piece.
    const probe = `${this.newPath()}-K\u00c9`
    try {
      writeFileSync(probe, '', { flag: 'wx' })
      const end = /K\u00c9$/
      return {
        ignoresCase: existsSync(probe.replace(end, 'k\u00c9')),
        ignoresForm: existsSync(probe.replace(end, 'KE\u0301')),
      }
    } catch {
      return exactNames // what is wrong shows with the first file
    } finally {
      rmSync(probe, { force: true })
    }
  }

  #prepare(): void {
    if (this.#isThere) return
    try {
      mkdirSync(this.directory, 0o700)
    } catch (error) {
      // A link may lead anywhere.
      const there = lstatSync(this.directory, { throwIfNoEntry: false })
      if (there === undefined) throw error
      if (!there.isDirectory()) {
        throw new FailedPreconditionError(
          `${this.directory} is in the way: pachctl keeps unfinished files there; remove it`,
          { cause: error },
        )
      }
    }
    this.#isThere = true
  }

  *#left(): Generator<readonly [name: string, key: string]> {
    if (lstatSync(this.directory, { throwIfNoEntry: false })?.isDirectory() !== true) return
    this.#isThere = true
    for (const name of readdirSync(this.directory)) {
      const [, pid = '', key = ''] = entryPattern.exec(name) ?? []
      if (pid !== '' && !name.startsWith(`${this.#mark}.`) && !isRunning(Number(pid))) {
        yield [name, key]
      }
    }
  }
}

function isHash(key: string): boolean {
  return /^[0-9a-f]{64}$/.test(key)
}

function isRunning(pid: number): boolean {
  // Another process of our own number, which was ours before.
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
  return !isZombie(pid)
}

/** One that was killed stays for a moment, until its parent hears of it. Linux only. */
function isZombie(pid: number): boolean {
  try {
    // The state is behind the program's name, which may hold anything.
    return /\) Z [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
