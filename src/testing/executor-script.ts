import { join } from 'node:path'

import type { EngineVariables } from '../executors/engine-storage.ts'
import type { Isolation } from '../executors/process.ts'
import type { Transform } from '../pipelines/executor.ts'

export interface ExecutorScriptOptions {
  readonly isolation?: Isolation | undefined
  /** A directory that user code must not see; `data` when unset. */
  readonly hidden?: string
  readonly hiddenPaths?: readonly string[]
  readonly programPath?: string
  readonly engineStorage?: readonly string[]
  readonly engineVariables?: EngineVariables
}

/**
 * A module for `node --input-type=module -e`: `body`, which finds `open(clock)`, a process executor that has
 * looked at the machine, and has its scratch directory in `data`; `openUntried(clock)`, one that has not; `SystemClock`, `runIn`, `sh`; and `signal`, which nobody aborts.
 */
export function executorScript(
  data: string,
  body: string,
  options: ExecutorScriptOptions = {},
): string {
  return `
    import { openProcessExecutor } from ${quotedUrl('../executors/process.ts')}
    import { SystemClock } from ${quotedUrl('../base/clock.ts')}
    import { SystemRandom } from ${quotedUrl('../base/random.ts')}
    import { runIn, sh } from ${quotedUrl('process-fixture.ts')}
    const signal = new AbortController().signal
    const openUntried = (clock = new SystemClock()) => openProcessExecutor({
      directory: ${JSON.stringify(join(data, 'scratch'))},
      hiddenDirectories: [${JSON.stringify(options.hidden ?? data)}],
      hiddenPaths: ${JSON.stringify(options.hiddenPaths ?? [])},
      engineStorage: () => ${JSON.stringify(options.engineStorage ?? [])},
      engineVariables: ${JSON.stringify(options.engineVariables ?? {})},
      clock,
      random: new SystemRandom(),
      ...${JSON.stringify({ isolation: options.isolation, programPath: options.programPath })},
    })
    const open = async (clock = new SystemClock()) => {
      const executor = await openUntried(clock)
      await executor.lookWhole()
      return executor
    }
    ${body}
  `
}

/** A program that runs one datum and prints its lines, and how it ended. */
export function serverScript(
  data: string,
  what: Transform,
  {
    secrets = [],
    ...options
  }: ExecutorScriptOptions & {
    /** Directories with a file `key`. */
    readonly secrets?: readonly string[]
  } = {},
): string {
  const body = `
    await using executor = await open()
    const directories = ${JSON.stringify(secrets)}.map((path) => (
      { path, files: new Map([['key', new TextEncoder().encode('hush')]]) }
    ))
    await using slot = await executor.openSlot(${JSON.stringify(what)}, signal, { environment: {}, directories })
    const onLine = (line) => console.log(line.text)
    const { exitCode } = await slot.run({ environment: {}, onLine, onLeftOut: () => {} }, signal)
    await slot.reset()
    console.log(executor.isolation, exitCode)
  `
  return executorScript(data, body, options)
}

function quotedUrl(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href)
}
