import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { requireDescriptors } from './descriptors.ts'

const execute = promisify(execFile)

/** Runs a program of this machine to its end. @throws what it said, when it failed. */
export async function runTool(name: string, args: readonly string[]): Promise<void> {
  requireDescriptors()
  await execute(name, args, { env: { ...process.env, LC_ALL: 'C' } })
}
