import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

import type { Clock } from '../base/clock.ts'
import { DomainError } from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import {
  type Executor,
  noSecrets,
  type Slot,
  type SlotBounds,
  type SlotSecrets,
  type Transform,
} from '../pipelines/executor.ts'
import { ControlGroups } from './process/control-groups.ts'
import { DiskWatch, reservedPartOf } from './process/disk-watch.ts'
import { ProcessWatch } from './process/process-watch.ts'
import { requireAssignable } from './process/environment.ts'
import { isBelow, outermost } from './process/hidden-places.ts'
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
  /** Where a container engine may listen: who reaches it can do anything on the machine. */
  readonly engineSockets?: readonly string[]
  readonly clock: Clock
  readonly random: Random
  /** Where programs are looked for, as in `PATH`, else in the usual places; a pipeline may set its own. */
  readonly programPath?: string
  /** So much of each output stream is looked at line by line; of what is more, the last lines. */
  readonly outputBytesMax?: number
  readonly bounds?: Partial<SlotBounds>
  /** So much of the disk is left to the server; unset: a part of what it has. */
  readonly reservedDiskBytes?: number
  /** Instead of the best that the machine allows. */
  readonly isolation?: Isolation
}

/** Where systems keep programs. Nothing of the server's own `PATH`, which is its user's. */
export const usualProgramPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const outputBytesMaxDefault = 512 * 1024
const processCountMaxDefault = 4096

interface OpenedOptions extends ProcessExecutorOptions {
  readonly groups: ControlGroups
  readonly diskWatch: DiskWatch
  readonly processWatch: ProcessWatch
}

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
  await using opened = new AsyncDisposableStack()
  const groupsName = `pachyderm-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`
  const groups = opened.use(await ControlGroups.open(groupsName, options.clock))
  const diskBounds = {
    datumBytesMax: options.bounds?.diskBytesMax ?? Number.POSITIVE_INFINITY,
    reservedBytes: options.reservedDiskBytes ?? (await reservedPartOf(directory)),
  }
  const diskWatch = opened.use(new DiskWatch(directory, diskBounds, options.clock))
  const processWatch = opened.use(new ProcessWatch(options.clock, options.bounds?.refusedMsMax))
  const resolved = { ...options, directory, hiddenDirectories, groups, diskWatch, processWatch }
  const { isolation, refusal } = await chooseIsolation(resolved)
  opened.move()
  return new ProcessExecutor(resolved, isolation, refusal)
}

interface Choice {
  readonly isolation: Isolation
  /** Why it is none. */
  readonly refusal: string
}

async function chooseIsolation(options: OpenedOptions): Promise<Choice> {
  if (options.isolation !== undefined) return { isolation: options.isolation, refusal: '' }
  if (process.platform !== 'linux') {
    const refusal = 'sandboxes are made of namespaces, which only Linux has'
    return { isolation: 'none', refusal }
  }
  const modes: readonly SandboxMode[] = process.geteuid?.() === 0 ? ['root', 'user'] : ['user']
  const missing = missingTool(toolPath)
  if (missing !== undefined) {
    const advice = `"${missing}" was not found; install util-linux`
    return { isolation: 'none', refusal: advice }
  }
  let refusal = ''
  for (const mode of modes) {
    refusal = await tryMode(options, mode)
    if (refusal === '') return { isolation: mode, refusal }
  }
  return { isolation: 'none', refusal }
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

/** Empty when a sandbox of this kind opened, else why it did not. */
async function tryMode(options: OpenedOptions, mode: SandboxMode): Promise<string> {
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
  readonly #options: OpenedOptions
  readonly #refusal: string
  readonly #slots = new Map<string, Slot>()

  /** Use `openProcessExecutor`. `options.directory` exists and is a real path. */
  constructor(options: OpenedOptions, isolation: Isolation, refusal = '') {
    this.#options = options
    this.isolation = isolation
    this.#refusal = refusal
  }

  /** The bounds that it can tell of when user code comes up against them. */
  get holds(): ReadonlySet<'cpu' | 'memory' | 'processes' | 'disk'> {
    const { bounded } = this.#options.groups
    return new Set([
      'disk',
      ...(bounded.has('cpu') ? (['cpu'] as const) : []),
      ...(bounded.has('memory') ? (['memory'] as const) : []),
      ...(bounded.has('pids') ? (['processes'] as const) : []),
    ])
  }

  placeOf(): string {
    return this.name
  }

  notices(transform: Transform): readonly string[] {
    const notices: string[] = []
    if (transform.image !== '') {
      notices.push(
        `image ${transform.image} is recorded, but this executor runs the host's programs`,
      )
    }
    notices.push(...this.#boundNotices(transform))
    if (this.isolation === 'none') {
      const reason = this.#refusal === '' ? '' : ` (${this.#refusal.replaceAll('\n', '; ')})`
      notices.push(
        `this machine allows no sandbox${reason}: /pfs is the directory named by $PFS, and the ` +
          'code can see the rest of the machine',
      )
    }
    return notices
  }

  /** What of the resources that a pipeline asks for does not come true. */
  #boundNotices({ resources }: Transform): readonly string[] {
    const { holds } = this
    const why = 'as this server may make no control groups for it (docs/executors.md)'
    return [
      ...(resources !== undefined && resources.cpu > 0 && !holds.has('cpu')
        ? [`resource_spec.cpu bounds nothing, ${why}`]
        : []),
      ...(resources !== undefined && resources.memoryBytes > 0 && !holds.has('memory')
        ? [`resource_spec.memory bounds each process on its own, ${why}`]
        : []),
      ...(resources !== undefined && resources.gpu > 0
        ? ['resource_spec.gpu is recorded, but this executor shows all that the host has']
        : []),
    ]
  }

  async openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets: SlotSecrets = noSecrets,
  ): Promise<Slot> {
    const { directory, hiddenDirectories, programPath, outputBytesMax, clock, random } =
      this.#options
    requireAssignable(secrets)
    const id = newHexId(random)
    const path = join(directory, id)
    const { group, limits } = this.#boundsOf(id, transform)
    const options: SlotOptions = {
      path,
      transform,
      secrets,
      hiddenDirectories,
      engineSockets: this.#options.engineSockets ?? [],
      programPath: programPath ?? usualProgramPath,
      outputBytesMax: outputBytesMax ?? outputBytesMaxDefault,
      group,
      limits,
      diskWatch: this.#options.diskWatch,
      processWatch: this.#options.processWatch,
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

  /** By a control group, or in ways that the kernel offers to everybody. */
  #boundsOf(id: string, transform: Transform): Pick<SlotOptions, 'group' | 'limits'> {
    const { groups, bounds } = this.#options
    const processCountMax = bounds?.processCountMax ?? processCountMaxDefault
    const { cpu = 0, memoryBytes = 0 } = transform.resources ?? {}
    const { bounded } = groups
    const group =
      bounded.size === 0 ? undefined : groups.group(id, { cpu, memoryBytes, processCountMax })
    return {
      group,
      limits: {
        groupEntries: group?.entries ?? [],
        dataBytes: bounded.has('memory') ? 0 : memoryBytes,
        processCount: bounded.has('pids') || this.isolation !== 'user' ? 0 : processCountMax,
      },
    }
  }

  /** Ends all slots. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#slots.values(), (slot) => slot[Symbol.asyncDispose]()))
    await this.#options.diskWatch[Symbol.asyncDispose]()
    await this.#options.processWatch[Symbol.asyncDispose]()
    await this.#options.groups[Symbol.asyncDispose]()
  }
}
