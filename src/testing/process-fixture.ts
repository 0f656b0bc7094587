import { readdirSync, readFileSync } from 'node:fs'

import type { LogLine, RunResult, Slot, Transform } from '../pipelines/executor.ts'

const never = new AbortController().signal

export function transform(command: readonly string[], more: Partial<Transform> = {}): Transform {
  return {
    image: '',
    command,
    stdinLines: [],
    environment: {},
    acceptedReturnCodes: [],
    ...more,
  }
}

export function sh(script: string): Transform {
  return transform(['sh', '-c', script])
}

export interface Ran extends RunResult {
  readonly stdout: readonly string[]
  readonly stderr: readonly string[]
  readonly leftOutCount: number
}

export async function runIn(
  slot: Slot,
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const lines: LogLine[] = []
  let leftOutCount = 0
  const onLeftOut = (lineCount: number): void => void (leftOutCount += lineCount)
  const onLine = (line: LogLine): void => void lines.push(line)
  const result = await slot.run({ environment, onLine, onLeftOut }, never)
  const textsOf = (stream: string): readonly string[] =>
    lines.filter((line) => line.stream === stream).map((line) => line.text)
  return { ...result, stdout: textsOf('stdout'), stderr: textsOf('stderr'), leftOutCount }
}

/** All that is below a directory but the directories right in it. */
export function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory() || entry.parentPath !== directory)
    .map((entry) => entry.name)
}

/** Processes of the host with `text` in their command line. */
export function processesWith(text: string): readonly string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}
