import { execFile } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import type { Transform } from '../../pipelines/executor.ts'
import { makeFifos } from './fifo.ts'

const execute = promisify(execFile)
// More entries than this are removed by a program, so that the event loop does not wait for them.
const removedHereMax = 200

/** The host's side of a slot: one directory, removed with it. */
export interface SlotDirectory {
  readonly path: string
  readonly pfs: string
  readonly tmp: string
  readonly varTmp: string
  readonly environmentFile: string
  readonly stdinFile: string
  readonly stdoutFifo: string
  readonly stderrFifo: string
}

/** Makes a slot's directory at `path`, which must not exist. */
export async function makeSlotDirectory(
  path: string,
  transform: Transform,
): Promise<SlotDirectory> {
  const control = join(path, 'control')
  const directory: SlotDirectory = {
    path,
    pfs: join(path, 'pfs'),
    tmp: join(path, 'tmp'),
    varTmp: join(path, 'var-tmp'),
    environmentFile: join(control, 'environment'),
    stdinFile: join(control, 'stdin'),
    stdoutFifo: join(control, 'stdout'),
    stderrFifo: join(control, 'stderr'),
  }
  mkdirSync(path, { mode: 0o700 })
  mkdirSync(control, { mode: 0o700 })
  mkdirSync(join(path, 'root'))
  mkdirSync(directory.pfs)
  for (const shared of [directory.tmp, directory.varTmp]) {
    mkdirSync(shared)
    chmodSync(shared, 0o1777)
  }
  copyFileSync(fileURLToPath(new URL('runner.sh', import.meta.url)), join(control, 'runner.sh'))
  writeFileSync(directory.stdinFile, transform.stdinLines.map((line) => `${line}\n`).join(''))
  writeFileSync(directory.environmentFile, '', { mode: 0o600 })
  await makeFifos(directory.stdoutFifo, directory.stderrFifo)
  return directory
}

/** Makes a directory empty, whatever user code left in it and whatever rights it took away. */
export async function emptyDirectory(directory: string): Promise<void> {
  try {
    if (removeSome(directory, { left: removedHereMax })) return
  } catch {
    // The programs below say what is wrong, if it still is.
  }
  await emptyByProgram(directory)
}

async function emptyByProgram(directory: string): Promise<void> {
  const entries = readdirSync(directory, { encoding: 'buffer' })
  if (entries.length === 0) return
  const search = [directory, '-mindepth', '1', '-xdev']
  try {
    await execute('find', [...search, '-delete'])
  } catch {
    await execute('chmod', ['-R', 'u+rwX', '--', directory])
    await execute('find', [...search, '-delete'])
  }
}

/** Removes what is in `directory`; false when the budget ran out first. */
function removeSome(directory: string, budget: { left: number }): boolean {
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    if (budget.left <= 0) return false
    budget.left -= 1
    const path = Buffer.concat([Buffer.from(`${directory}/`), entry.name])
    if (!entry.isDirectory()) unlinkSync(path)
    else {
      const text = path.toString()
      // A name that is not UTF-8 has no text to go on with.
      if (!Buffer.from(text).equals(path)) return false
      if (!removeSome(text, budget)) return false
      rmdirSync(path)
    }
  }
  return true
}

/** Removes a slot's directory; there may be none. */
export async function removeSlotDirectory(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return
  for (const name of ['pfs', 'tmp', 'var-tmp']) {
    const directory = join(path, name)
    if (lstatSync(directory, { throwIfNoEntry: false })) await emptyDirectory(directory)
  }
  await rm(path, { recursive: true, force: true })
}
