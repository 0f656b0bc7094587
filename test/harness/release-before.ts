import { readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { runProgram } from './child-program.ts'

const releases = fileURLToPath(new URL('../fixtures/releases/', import.meta.url))
const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url))

/** The release before this one, unpacked. */
export class ReleaseBefore implements AsyncDisposable {
  readonly version: string
  readonly pachd: string
  readonly #directory: TemporaryDirectory

  private constructor(version: string, directory: TemporaryDirectory) {
    this.version = version
    this.pachd = directory.join('bin/pachd')
    this.#directory = directory
  }

  static async unpack(): Promise<ReleaseBefore> {
    const [name = ''] = (await readdir(releases)).filter((file) => file.endsWith('.tgz'))
    const directory = await TemporaryDirectory.create()
    await runProgram('tar', ['-xzf', join(releases, name)], { directory: directory.path })
    await symlink(modules, directory.join('node_modules'))
    return new ReleaseBefore(name.replace(/\.tgz$/, ''), directory)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}
