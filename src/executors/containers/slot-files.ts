import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Transform } from '../../pipelines/executor.ts'
import { emptyDirectory, removeAllBut, removeTree } from '../process/emptying.ts'
import { makeFifos } from '../process/fifo.ts'
import type { WarmFiles } from '../process/warm-program.ts'

/** Whoever the user in a container is: nobody else on this machine gets into the slot's directory. */
export const openMode = 0o777
export const sharedMode = 0o1777
const readableMode = 0o755
const fifoMode = 0o666
const outputName = 'out'
const runnerScript = fileURLToPath(new URL('../process/runner.sh', import.meta.url))

/** The host's side of a slot: one directory, which outlives the slot's containers. */
export interface SlotFiles extends WarmFiles {
  readonly path: string
  readonly pfs: string
  /** Shown by a mount of its own. It stays the same directory: what is mounted is that one. */
  readonly out: string
  readonly tmp: string
  readonly varTmp: string
  readonly control: string
  /** Has the id of the image, for who finds the directory after a crash. */
  readonly imageFile: string
  readonly datumFile: string
  readonly stdoutFifo: string
  readonly stderrFifo: string
  /** Made for each container, and without a name from when it has opened them. */
  readonly noncesFifo: string
  readonly answersFifo: string
}

export interface SlotFilesOptions {
  /** Must not exist. */
  readonly path: string
  readonly transform: Transform
  readonly imageId: string
  /** What is written in the container belongs to users that the server is not. */
  readonly hasOtherUsers: boolean
}

export async function makeSlotFiles(options: SlotFilesOptions): Promise<SlotFiles> {
  const { path, transform, imageId } = options
  const files = slotFilesIn(path)
  mkdirSync(path, { mode: 0o700 })
  writeFileSync(files.imageFile, imageId)
  make(readableMode, files.control)
  make(readableMode, files.pfs)
  make(openMode, files.out)
  make(sharedMode, files.tmp)
  make(sharedMode, files.varTmp)
  copyFileSync(runnerScript, join(files.control, 'runner.sh'))
  const stdin = transform.stdinLines.map((line) => `${line}\n`).join('')
  writeFileSync(join(files.control, 'stdin'), stdin)
  if (options.hasOtherUsers) writeFileSync(join(files.control, 'open'), '')
  for (const name of readdirSync(files.control)) chmodSync(join(files.control, name), readableMode)
  const warmFifos = transform.isWarm === true ? [files.datumsFifo, files.resultsFifo] : []
  await makeOpenFifos(files.stdoutFifo, files.stderrFifo, ...warmFifos)
  return files
}

export function slotFilesIn(path: string): SlotFiles {
  const control = join(path, 'control')
  return {
    path,
    pfs: join(path, 'pfs'),
    out: join(path, 'pfs', outputName),
    tmp: join(path, 'tmp'),
    varTmp: join(path, 'var-tmp'),
    control,
    imageFile: join(path, 'image'),
    datumFile: join(control, 'datum'),
    stdoutFifo: join(control, 'stdout'),
    stderrFifo: join(control, 'stderr'),
    datumsFifo: join(control, 'datums'),
    resultsFifo: join(control, 'results'),
    variablesFile: join(control, 'variables'),
    noncesFifo: join(control, 'nonces'),
    answersFifo: join(control, 'answers'),
  }
}

/** Whatever the process takes away from the rights of new files. */
function make(mode: number, path: string): void {
  mkdirSync(path)
  chmodSync(path, mode)
}

/** Named pipes that every user can open who gets there. */
export async function makeOpenFifos(...paths: readonly string[]): Promise<void> {
  await makeFifos(...paths)
  for (const path of paths) chmodSync(path, fifoMode)
}

/** Lets this process remove what belongs to users that it is not. */
export type OpenFiles = (files: SlotFiles) => Promise<void>

/** Empties what a datum was given and what it wrote, for the next one. No user code may run any more. */
export async function emptySlotFiles(files: SlotFiles, open: OpenFiles): Promise<void> {
  await removeAllBut(files.pfs, outputName, readableMode)
  await withRights(files, open, async () => {
    await emptyDirectory(files.out, openMode)
    for (const directory of [files.tmp, files.varTmp]) await emptyDirectory(directory, sharedMode)
  })
}

/** Removes a slot's directory, or what a crash left of one; there may be none. */
export async function removeSlotFiles(path: string, open: OpenFiles): Promise<void> {
  const files = slotFilesIn(path)
  // To get the rights takes all the others of the slot's files.
  await withRights(files, open, async () => {
    for (const directory of [files.out, files.tmp, files.varTmp]) {
      if (existsSync(directory)) await emptyDirectory(directory, readableMode)
    }
  })
  await removeTree(path)
}

/** Root needs no leave, and whoever gets none hears why nothing could be removed. */
async function withRights(
  files: SlotFiles,
  open: OpenFiles,
  remove: () => Promise<void>,
): Promise<void> {
  try {
    await remove()
  } catch (error) {
    if (process.geteuid?.() === 0) throw error
    await open(files)
    await remove()
  }
}
