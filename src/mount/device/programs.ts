import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface ProgramEnd {
  readonly succeeded: boolean
  /** The first line of what it said, without its own name in front. */
  readonly said: string
}

/** Runs a program of the system, in English; `device` is its file 3. Rejects when there is no such program. */
export async function runProgram(
  name: string,
  args: readonly string[],
  device?: number,
): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(device === undefined ? [] : [device])],
      env: { ...process.env, LC_ALL: 'C' },
    })
    let said = ''
    child.stderr?.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-2000)
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ succeeded: code === 0, said: firstLine(said) }))
  })
}

function firstLine(text: string): string {
  const [line = ''] = text.trim().split('\n')
  return line.replace(/^\w+: /, '').replace(/\.$/, '')
}

/** The path of the first of these programs that is there. */
export function findProgram(...names: readonly string[]): string | undefined {
  for (const name of names) {
    for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
      const path = join(directory, name)
      if (isExecutable(path)) return path
    }
  }
  return undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
