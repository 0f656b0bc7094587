import { cpSync, linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const checkout = fileURLToPath(new URL('../../', import.meta.url))
/** Of a checkout in such a place, user code sees nothing. */
const isHidden = /^\/(?:tmp|var\/tmp|dev|run)\//.test(checkout)
/** All that `pachctl` is made of. */
const parts = ['bin', 'package.json', 'src', 'node_modules/@bufbuild/protobuf']

/** A directory of which user code sees what a test makes in it: of the checkout, else this user's home. */
export const seenDirectory: string = isHidden ? homedir() : join(checkout, 'node_modules')

/** Programs of the checkout where user code sees them: copies, when it does not see the checkout. */
export class SeenPrograms implements Disposable {
  /** What `pachctl` is in; as a program path, it keeps a home directory from being hidden. */
  readonly directory: string
  readonly node: string
  readonly #copy: string | undefined

  private constructor(root: string, node: string, copy?: string) {
    this.directory = join(root, 'bin')
    this.node = node
    this.#copy = copy
  }

  static make(): SeenPrograms {
    if (!isHidden) return new SeenPrograms(checkout, process.execPath)
    const copy = mkdtempSync(join(seenDirectory, '.pachyderm-programs-'))
    const node = join(copy, 'node_modules/.bin/node')
    mkdirSync(dirname(node), { recursive: true })
    try {
      linkSync(process.execPath, node)
    } catch {
      // It is on another disk.
      cpSync(process.execPath, node)
    }
    for (const part of parts) cpSync(join(checkout, part), join(copy, part), { recursive: true })
    return new SeenPrograms(copy, node, copy)
  }

  [Symbol.dispose](): void {
    if (this.#copy !== undefined) rmSync(this.#copy, { recursive: true, force: true })
  }
}
