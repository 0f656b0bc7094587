import { type ChildProcess, execFile } from 'node:child_process'

import { requireDescriptors } from './descriptors.ts'

/** What directories hold. Who asks about a disk that does not answer may never hear. */
export interface DiskSums extends Disposable {
  /** Blocks, each file once, whatever goes meanwhile. */
  bytesIn(directories: readonly string[]): Promise<number>
  /** With directories, each once. */
  filesIn(directories: readonly string[]): Promise<number>
}

/** As `du` counts, in processes of its own: the kernel lets nobody end who waits for a disk. */
export class DuSums implements DiskSums {
  readonly #running = new Set<ChildProcess>()

  async bytesIn(directories: readonly string[]): Promise<number> {
    return 1024 * (await this.#sumOf('-skx', directories))
  }

  async filesIn(directories: readonly string[]): Promise<number> {
    return await this.#sumOf('-sx', directories, '--inodes')
  }

  async #sumOf(
    flags: string,
    directories: readonly string[],
    ...more: readonly string[]
  ): Promise<number> {
    requireDescriptors()
    const text = await new Promise<string>((resolve) => {
      const child = execFile('du', [flags, ...more, '--', ...directories], (_error, stdout) => {
        this.#running.delete(child)
        resolve(stdout)
      })
      this.#running.add(child)
    })
    const sizes = [...text.matchAll(/^(\d+)\t/gm)].map(([, digits]) => Number(digits))
    return sizes.reduce((sum, size) => sum + size, 0)
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
