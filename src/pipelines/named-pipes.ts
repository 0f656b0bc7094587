import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { FailedPreconditionError } from '../base/errors.ts'

type Maker = readonly [program: string, ...argumentsBefore: string[]]

const execute = promisify(execFile)

/**
 * Makes a named pipe at each path, with these rights, by a program: Node cannot. Some machines have no
 * coreutils.
 *
 * @throws {FailedPreconditionError} with advice where no program can.
 */
export async function makeNamedPipes(
  mode: number,
  paths: readonly string[],
  searchPath: string | undefined = process.env['PATH'],
): Promise<void> {
  for (const [program, ...before] of makersOf(mode.toString(8))) {
    try {
      const env = { ...process.env, PATH: searchPath, LC_ALL: 'C' }
      await execute(program, [...before, ...paths], { env })
      return
    } catch (error) {
      if (!isMissing(error)) throw asSystemError(error, paths[0])
    }
  }
  throw new FailedPreconditionError(
    'this machine lacks the program "mkfifo", without which pachd runs no code: install coreutils (or perl, or python3)',
  )
}

function makersOf(mode: string): readonly Maker[] {
  const perl = `umask 0; for (@ARGV) { mkfifo($_, 0${mode}) or die "$_: $!\\n" }`
  const python = `import os, sys\nos.umask(0)\nfor path in sys.argv[1:]: os.mkfifo(path, 0o${mode})`
  return [
    ['mkfifo', '-m', mode, '--'],
    ['perl', '-MPOSIX=mkfifo', '-e', perl, '--'],
    ['python3', '-Ic', python],
  ]
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** With the code of a failed call, where it tells that there is no room. */
function asSystemError(error: unknown, path: string | undefined): unknown {
  if (!(error instanceof Error)) return error
  if (!/No space left on device|Disk quota exceeded/.test(error.message)) return error
  return Object.assign(new Error(error.message, { cause: error }), { code: 'ENOSPC', path })
}
