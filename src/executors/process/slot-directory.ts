import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { SlotSecrets, Transform } from '../../pipelines/executor.ts'
import type { Leftover, Leftovers } from '../leftovers.ts'
import { removeTree } from './emptying.ts'
import { makeFifos } from './fifo.ts'
import type { WarmFiles } from './warm-program.ts'

/** What user code may write to below `/pfs`. */
export const outputName = 'out'

/** The rights of the directories that user code writes to. */
export const pfsMode = 0o755
export const sharedMode = 0o1777

/** The host's side of a slot: one directory, removed with it. */
export interface SlotDirectory extends WarmFiles {
  readonly path: string
  readonly pfs: string
  /** For files that were inputs; made when there are some. */
  readonly spares: string
  readonly tmp: string
  readonly varTmp: string
  readonly datumFile: string
  readonly stdinFile: string
  readonly stdoutFifo: string
  readonly stderrFifo: string
  /** What the runner reads, and what it answers: out of user code's sight. */
  readonly noncesFifo: string
  readonly answersFifo: string
  /** Where the sandbox, in its own view, keeps secrets in memory; only there when it has some. */
  readonly secrets: string
}

/** Makes a slot's directory at `path`, which must not exist. */
export async function makeSlotDirectory(
  path: string,
  { transform, secrets }: { readonly transform: Transform; readonly secrets: SlotSecrets },
): Promise<SlotDirectory> {
  const control = join(path, 'control')
  const directory: SlotDirectory = {
    path,
    pfs: join(path, 'pfs'),
    spares: join(path, 'spares'),
    tmp: join(path, 'tmp'),
    varTmp: join(path, 'var-tmp'),
    datumFile: join(control, 'datum'),
    stdinFile: join(control, 'stdin'),
    stdoutFifo: join(control, 'stdout'),
    stderrFifo: join(control, 'stderr'),
    noncesFifo: join(path, 'nonces'),
    answersFifo: join(path, 'answers'),
    datumsFifo: join(control, 'datums'),
    resultsFifo: join(control, 'results'),
    variablesFile: join(control, 'variables'),
    secrets: join(path, 'secrets'),
  }
  mkdirSync(path, { mode: 0o700 })
  mkdirSync(control, { mode: 0o700 })
  mkdirSync(join(path, 'root'))
  if (secrets.directories.length > 0) mkdirSync(directory.secrets, { mode: 0o700 })
  makeWith(pfsMode, directory.pfs)
  makeWith(pfsMode, join(directory.pfs, outputName))
  makeWith(sharedMode, directory.tmp)
  makeWith(sharedMode, directory.varTmp)
  for (const name of ['runner.sh', 'keeper.sh']) {
    copyFileSync(fileURLToPath(new URL(name, import.meta.url)), join(control, name))
  }
  writeFileSync(directory.stdinFile, transform.stdinLines.map((line) => `${line}\n`).join(''))
  await makeFifos(
    directory.stdoutFifo,
    directory.stderrFifo,
    ...(transform.isWarm === true ? [directory.datumsFifo, directory.resultsFifo] : []),
    directory.noncesFifo,
    directory.answersFifo,
    join(path, 'to-keeper'),
    join(path, 'from-keeper'),
  )
  return directory
}

/** Whatever the process takes away from the rights of new files. */
function makeWith(mode: number, path: string): void {
  mkdirSync(path)
  chmodSync(path, mode)
}

/** A slot's directory, or what a crash left of one; there may be none. */
export function slotLeftover(path: string): Leftover {
  return {
    what: path,
    async remove() {
      await removeTree(path)
      return true
    },
  }
}

/** Takes back what was begun of a slot that did not open: what cannot be now is no reason of its own. */
export async function giveUpSlot({
  path,
  group,
  leftovers,
}: {
  readonly path: string
  readonly group: AsyncDisposable | undefined
  readonly leftovers: Leftovers
}): Promise<void> {
  await group?.[Symbol.asyncDispose]()
  await leftovers.remove(slotLeftover(path))
}
