import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

import type { Clock } from '../base/clock.ts'
import { DomainError, FailedPreconditionError } from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import {
  type Executor,
  noSecrets,
  type Slot,
  type SlotSecrets,
  type Transform,
} from '../pipelines/executor.ts'
import { canAssign } from './process/environment.ts'
import { PlainSlot } from './process/plain-slot.ts'
import { SandboxSlot, type SlotOptions } from './process/sandbox-slot.ts'
import { missingTool, toolPath, type SandboxMode } from './process/sandbox.ts'
import { removeSlotDirectory } from './process/slot-directory.ts'

/** How user code is set apart, from most to least wanted; `none` is a directory named by `$PFS`. */
export type Isolation = SandboxMode | 'none'

export interface ProcessExecutorOptions {
  /**
   * Scratch space, this executor's alone: made if need be in one that exists, and
   * emptied when it opens.
   */
  readonly directory: string
  /** What user code must not see: the server's data directory. */
  readonly hiddenDirectories: readonly string[]
  readonly clock: Clock
  readonly random: Random
  /** Where programs are looked for, as in `PATH`, else in the usual places; a pipeline may set its own. */
  readonly programPath?: string
  /** So much of each output stream is looked at line by line; of what is more, the last lines. */
  readonly outputBytesMax?: number
  /** Instead of the best that the machine allows. */
  readonly isolation?: Isolation
}

/** Where systems keep programs. Nothing of the server's own `PATH`, which is its user's. */
export const usualProgramPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const outputBytesMaxDefault = 512 * 1024

/** Finds out once what this machine allows. */
export async function openProcessExecutor(
  options: ProcessExecutorOptions,
): Promise<ProcessExecutor> {
  if (!existsSync(options.directory)) mkdirSync(options.directory, { mode: 0o700 })
  const directory = realpathSync(options.directory)
  for (const name of readdirSync(directory)) {
    // What a crash left.
    await removeSlotDirectory(join(directory, name))
  }
  const hiddenDirectories = outermost(
    [
      ...options.hiddenDirectories,
      directory,
      ...privateDirectories(options.programPath ?? usualProgramPath),
    ].map((path) => realpathSync(path)),
  )
  const resolved = { ...options, directory, hiddenDirectories }
  if (options.isolation !== undefined) return new ProcessExecutor(resolved, options.isolation)
  const modes: readonly SandboxMode[] = process.geteuid?.() === 0 ? ['root', 'user'] : ['user']
  const missing = missingTool(toolPath)
  if (missing !== undefined) {
    const advice = `"${missing}" was not found; install util-linux`
    return new ProcessExecutor(resolved, 'none', advice)
  }
  let refusal = ''
  for (const mode of modes) {
    refusal = await tryMode(resolved, mode)
    if (refusal === '') return new ProcessExecutor(resolved, mode)
  }
  return new ProcessExecutor(resolved, 'none', refusal)
}

/** Where people keep what is theirs, unless programs are looked for there, too. */
function privateDirectories(programPath: string): readonly string[] {
  const programs = programPath
    .split(':')
    .filter((path) => path.startsWith('/') && existsSync(path))
    .map((path) => realpathSync(path))
  return ['/root', '/home']
    .filter((path) => existsSync(path))
    .filter((path) => !programs.some((program) => isBelow(program, realpathSync(path))))
}

/** Those that lie in none of the others. */
function outermost(directories: readonly string[]): readonly string[] {
  const kept: string[] = []
  for (const directory of directories.toSorted()) {
    if (!kept.some((other) => isBelow(directory, other))) kept.push(directory)
  }
  return kept
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`)
}

/** Empty when a sandbox of this kind opened, else why it did not. */
async function tryMode(options: ProcessExecutorOptions, mode: SandboxMode): Promise<string> {
  const transform: Transform = {
    image: '',
    command: ['true'],
    stdinLines: [],
    environment: {},
    acceptedReturnCodes: [],
  }
  try {
    // The tools' path: what `PATH` the server has says nothing about the machine.
    const executor = new ProcessExecutor({ ...options, programPath: toolPath }, mode)
    await using slot = await executor.openSlot(transform, new AbortController().signal)
    await slot.run(
      { environment: {}, onLine: () => {}, onLeftOut: () => {} },
      new AbortController().signal,
    )
    return ''
  } catch (error) {
    if (error instanceof DomainError || isMissingProgram(error)) return error.message
    throw error
  }
}

function isMissingProgram(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Runs user code as processes of this machine, each slot in a warm sandbox of namespaces. */
export class ProcessExecutor implements Executor {
  readonly name = 'process'
  readonly isolation: Isolation
  readonly #options: ProcessExecutorOptions
  readonly #refusal: string
  readonly #slots = new Map<string, Slot>()

  /** Use `openProcessExecutor`. `options.directory` exists and is a real path. */
  constructor(options: ProcessExecutorOptions, isolation: Isolation, refusal = '') {
    this.#options = options
    this.isolation = isolation
    this.#refusal = refusal
  }

  notices(transform: Transform): readonly string[] {
    const notices: string[] = []
    if (transform.image !== '') {
      notices.push(
        `image ${transform.image} is recorded, but this executor runs the host's programs`,
      )
    }
    if (this.isolation === 'none') {
      const reason = this.#refusal === '' ? '' : ` (${this.#refusal.replaceAll('\n', '; ')})`
      notices.push(
        `this machine allows no sandbox${reason}: /pfs is the directory named by $PFS, and the ` +
          'code can see the rest of the machine',
      )
    }
    return notices
  }

  async openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets: SlotSecrets = noSecrets,
  ): Promise<Slot> {
    const { directory, hiddenDirectories, programPath, outputBytesMax, clock, random } =
      this.#options
    const reserved = Object.keys(secrets.environment).find((name) => !canAssign(name))
    if (reserved !== undefined) {
      throw new FailedPreconditionError(
        `env_var ${reserved} is a name that shells keep for themselves; choose another`,
      )
    }
    const path = join(directory, newHexId(random))
    const options: SlotOptions = {
      path,
      transform,
      secrets,
      hiddenDirectories,
      programPath: programPath ?? usualProgramPath,
      outputBytesMax: outputBytesMax ?? outputBytesMaxDefault,
      clock,
      random,
      onDisposed: () => this.#slots.delete(path),
    }
    const slot =
      this.isolation === 'none'
        ? await PlainSlot.open(options)
        : await SandboxSlot.open(options, this.isolation, signal)
    this.#slots.set(path, slot)
    return slot
  }

  /** Ends all slots. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#slots.values(), (slot) => slot[Symbol.asyncDispose]()))
  }
}
