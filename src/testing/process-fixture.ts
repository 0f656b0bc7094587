import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Isolation } from '../executors/process.ts'
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

function quotedUrl(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href)
}

/** A program that runs one datum and prints its lines, and how it ended. */
export function serverScript(
  data: string,
  what: Transform,
  options: {
    readonly isolation?: Isolation
    readonly hidden?: string
    readonly hiddenPaths?: readonly string[]
    /** Directories with a file `key`. */
    readonly secrets?: readonly string[]
    readonly programPath?: string
  } = {},
): string {
  return `
    import { openProcessExecutor } from ${quotedUrl('../executors/process.ts')}
    import { SystemClock } from ${quotedUrl('../base/clock.ts')}
    import { SystemRandom } from ${quotedUrl('../base/random.ts')}
    await using executor = await openProcessExecutor({
      directory: ${JSON.stringify(join(data, 'scratch'))},
      hiddenDirectories: [${JSON.stringify(options.hidden ?? data)}],
      hiddenPaths: ${JSON.stringify(options.hiddenPaths ?? [])},
      clock: new SystemClock(),
      random: new SystemRandom(),
      ...${JSON.stringify({ isolation: options.isolation, programPath: options.programPath })},
    })
    const directories = ${JSON.stringify(options.secrets ?? [])}.map((path) => (
      { path, files: new Map([['key', new TextEncoder().encode('hush')]]) }
    ))
    const signal = new AbortController().signal
    await using slot = await executor.openSlot(${JSON.stringify(what)}, signal, { environment: {}, directories })
    const onLine = (line) => console.log(line.text)
    const { exitCode } = await slot.run({ environment: {}, onLine, onLeftOut: () => {} }, signal)
    await slot.reset()
    console.log(executor.isolation, exitCode)
  `
}
