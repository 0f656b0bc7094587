import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { noexecMountOf } from '../noexec.ts'
import type { UnstartableReasons } from './start-errors.ts'
import { startFault, type StartView } from './start-faults.ts'

const firstLineBytesMax = 256

/** The files that a program may be, the first one first. */
function programFiles(program: string, path: string): readonly string[] {
  const files = program.includes('/')
    ? [program]
    : path.split(':').map((directory) => join(directory === '' ? '.' : directory, program))
  return files.filter(isFile)
}

/** Why a program cannot be started, as far as its file tells; undefined when it can. */
export function programFault(program: string, path: string): 'missing' | 'unstartable' | undefined {
  const found = programFiles(program, path)
  if (found.length === 0) {
    // By its path, a directory, say, is found.
    return program.includes('/') && existsSync(program) ? 'unstartable' : 'missing'
  }
  return found.some((file) => canExecute(file) && hasInterpreter(file)) ? undefined : 'unstartable'
}

/** Where the host has a program. Whether it has other files is not told: user code may not see that. */
export function hostProgram(program: string, path: string): string | undefined {
  return programFiles(program, path).find(canExecute)
}

/** What the machine tells of a program that it could not start; its file is seen as from `view`, if there is one. */
export function unstartableReasons(
  program: string,
  path: string,
  view: StartView | undefined,
): UnstartableReasons {
  const [file] = programFiles(program, path)
  return {
    noexec: file === undefined ? undefined : noexecMountOf(file),
    fault: view && startFault(program, view),
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}

function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** True for what is no script. */
function hasInterpreter(path: string): boolean {
  const interpreter = /^#![ \t]*([^ \t\n]+)/.exec(beginningOf(path))?.[1]
  return interpreter === undefined || canExecute(interpreter)
}

function beginningOf(path: string): string {
  const buffer = Buffer.alloc(firstLineBytesMax)
  try {
    const descriptor = openSync(path, 'r')
    try {
      return buffer.toString('latin1', 0, readSync(descriptor, buffer))
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // What may be executed need not be readable.
    return ''
  }
}
