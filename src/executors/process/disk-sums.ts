import { type ChildProcess, spawn } from 'node:child_process'

import { requireDescriptors } from './descriptors.ts'

export interface DiskSum {
  readonly count: number
  /** Whether nothing was out of this user's sight. */
  readonly isWhole: boolean
}

/** What directories hold. Who asks about a disk that does not answer may never hear. */
export interface DiskSums extends Disposable {
  /** Bytes in blocks, each file once, whatever goes meanwhile. */
  bytesIn(directories: readonly string[]): Promise<DiskSum>
  /** With directories, each once. */
  filesIn(directories: readonly string[]): Promise<DiskSum>
}

/**
 * What sees what code took from its owner's sight: root of a namespace of this user's, and of those whom this user may
 * be there. Nothing is changed for that, which the code may be looking at.
 */
const seers = [
  [],
  ['unshare', '--user', '--map-root-user', '--'],
  ['unshare', '--user', '--map-root-user', '--map-auto', '--'],
]
const denial = 'Permission denied'

/** As `du` counts, in processes of its own: the kernel lets nobody end who waits for a disk. */
export class DuSums implements DiskSums {
  readonly #running = new Set<ChildProcess>()

  async bytesIn(directories: readonly string[]): Promise<DiskSum> {
    const { count, isWhole } = await this.#sumOf(['-skx'], directories)
    return { count: 1024 * count, isWhole }
  }

  async filesIn(directories: readonly string[]): Promise<DiskSum> {
    return await this.#sumOf(['-sx', '--inodes'], directories)
  }

  async #sumOf(options: readonly string[], directories: readonly string[]): Promise<DiskSum> {
    // Of none, `du` would tell where this process is.
    if (directories.length === 0) return { count: 0, isWhole: true }
    let most: DiskSum = { count: 0, isWhole: false }
    for (const seer of seers) {
      const sum = await this.#du([...seer, 'du', ...options, '--', ...directories])
      if (sum.isWhole) return sum
      if (sum.count > most.count) most = sum
    }
    return most
  }

  async #du([program = '', ...args]: readonly string[]): Promise<DiskSum> {
    requireDescriptors()
    const env = { ...process.env, LC_ALL: 'C' }
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#running.add(child)
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    let isDenied = false
    let last = ''
    // It may complain of any number of files, most of which have gone meanwhile.
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      isDenied ||= (last + piece).includes(denial)
      last = piece.slice(-denial.length)
    })
    const hasStarted = await new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(false)).once('close', () => resolve(true))
    })
    this.#running.delete(child)
    const counts = [...text.matchAll(/^(\d+)\t/gm)].map(([, digits]) => Number(digits))
    const count = counts.reduce((sum, each) => sum + each, 0)
    return { count, isWhole: hasStarted && !isDenied && counts.length > 0 }
  }

  /** This process may end, though one of them cannot. */
  [Symbol.dispose](): void {
    for (const child of this.#running) {
      child.kill('SIGKILL')
      child.stdout?.destroy()
      child.stderr?.destroy()
      child.unref()
    }
  }
}
