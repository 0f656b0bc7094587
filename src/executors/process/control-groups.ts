import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'

import type { Clock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import { exactSizeText, sizeText } from '../../base/sizes.ts'
import type { Leftovers } from '../leftovers.ts'
import {
  type Controller,
  findGroupPlaces,
  findGroupTops,
  type GroupPlace,
} from './cgroup-places.ts'
import {
  groupLeftover,
  killAll,
  livingGroupName,
  processesIn,
  removeEmptyGroup,
  removeLeftGroups,
  subgroupsOf,
} from './group-removal.ts'
import { type CountedProcesses, processBoundText, type ProcessCounts } from './process-watch.ts'

/** In version 2 only groups without processes have groups below them: this server moves here. */
const serverName = 'pachyderm-server'
const cpuPeriodMicros = 100_000
const cpuQuotaMicrosMin = 1000
/** Of user code together: so much memory stays for the server and the rest of the machine. */
const reservedPart = 0.1
const reservedBytesMin = 512 * 1024 * 1024
/** More than the kernel's tables of events have. */
const eventsBytesMax = 4096
/** Besides those of user code: two that run it, and one that they may start. */
const ownProcessCount = 3

export interface GroupBounds {
  /** 0: not bounded on its own. */
  readonly cpu: number
  readonly memoryBytes: number
  readonly processCountMax: number
}

interface GroupPorts {
  readonly clock: Clock
  /** Takes the groups that do not get empty. */
  readonly leftovers: Leftovers
}

interface GroupOf extends GroupPorts {
  readonly bounds: GroupBounds
  /** Of all groups together. */
  readonly sharedBytes: number
}

/** Where the kernel keeps bounds for groups of processes, if it lets this process say so. */
export class ControlGroups implements AsyncDisposable {
  readonly #places: readonly GroupPlace[]
  readonly #ports: GroupPorts
  /** Of user code together; 0 when nothing bounds it. */
  readonly memoryBytes: number
  readonly #name: string
  readonly #closing = new AbortController()
  readonly #removingLeft: Promise<void>

  private constructor(
    places: readonly GroupPlace[],
    name: string,
    ports: GroupPorts,
    tops: readonly string[],
  ) {
    this.#places = places
    this.#ports = ports
    this.#name = name
    this.memoryBytes = Math.max(
      0,
      ...places
        .filter(({ controllers }) => controllers.includes('memory'))
        .map(({ directory, version }) => sharedMemory(directory, version)),
    )
    this.#removingLeft = removeLeftGroups(tops, ports.clock, this.#closing.signal)
  }

  /**
   * `name` is this executor's alone. Groups that an earlier server has left under it are ended.
   * Without the right to make groups, those that come out bound nothing.
   */
  static async open(
    name: string,
    ports: GroupPorts,
    texts: GroupTexts = groupTexts(),
  ): Promise<ControlGroups> {
    const places: GroupPlace[] = []
    for (const place of findGroupPlaces(texts.mountinfo, texts.own)) {
      places.push(...(await usable(place, name, ports)))
    }
    // Who may make no groups has left none.
    const tops = places.length === 0 ? [] : findGroupTops(texts.mountinfo)
    return new ControlGroups(places, name, ports, tops)
  }

  get bounded(): ReadonlySet<Controller> {
    return new Set(this.#places.flatMap((place) => place.controllers))
  }

  /**
   * Makes a group; `id` is a plain name.
   *
   * @throws {UnavailableError} when the kernel has no room for another.
   */
  group(id: string, bounds: GroupBounds): ControlGroup {
    const made: GroupPlace[] = []
    try {
      for (const place of this.#places) {
        // A server that cannot see this one, as from a container, may take for left what is empty.
        if (!existsSync(join(place.directory, this.#name))) makeParent(place, this.#name)
        const directory = join(place.directory, this.#name, id)
        mkdirSync(directory)
        made.push({ ...place, directory })
        for (const controller of place.controllers)
          setBound(directory, place.version, controller, bounds)
      }
    } catch (error) {
      for (const { directory } of made) removeEmptyGroup(directory)
      if (!(error instanceof Error) || shortageError(error) !== undefined) throw error
      throw new UnavailableError(`no control group could be made: ${error.message}`, {
        cause: error,
      })
    }
    return new ControlGroup(made, { ...this.#ports, bounds, sharedBytes: this.memoryBytes })
  }

  /** All groups have been disposed of. What does not get empty is the next server's to remove. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#removingLeft
    const { clock, leftovers } = this.#ports
    await Promise.all(
      this.#places.map(({ directory }) =>
        leftovers.remove(groupLeftover(join(directory, this.#name), clock)),
      ),
    )
  }
}

/** A group of processes, in one directory or, in version 1, in one for each controller. */
export class ControlGroup implements AsyncDisposable, CountedProcesses {
  readonly #directories: readonly GroupPlace[]
  readonly #of: GroupOf
  /** By key: files of events, held open, for they are read after each datum, and what they said. */
  readonly #events = new Map<string, { readonly descriptor: number; text: string; count: number }>()
  readonly #eventsBytes = Buffer.allocUnsafeSlow(eventsBytesMax)
  #killed = 0
  #refused = 0

  /** Use `ControlGroups.group`. */
  constructor(directories: readonly GroupPlace[], of: GroupOf) {
    this.#directories = directories
    this.#of = of
  }

  /** Files to which a process writes its number to become one of the group. */
  get entries(): readonly string[] {
    return this.#directories.map(({ directory }) => join(directory, 'cgroup.procs'))
  }

  get processCountMax(): number {
    return this.#of.bounds.processCountMax
  }

  /** Zero where nothing bounds them. */
  processCounts(): ProcessCounts {
    const place = this.#placeOf('pids')
    if (place === undefined) return { refusedCount: 0, isAtBound: false }
    const current = Number(readFileSync(join(place.directory, 'pids.current'), 'utf8'))
    const isAtBound = current >= this.processCountMax + ownProcessCount
    return { refusedCount: this.#count('pids', () => 'pids.events', 'max'), isAtBound }
  }

  /** What its processes have come up against since this was asked last, in words for people. */
  takeBound(): string | undefined {
    const killed = this.#count('memory', oomFile, 'oom_kill')
    const refused = this.#count('pids', () => 'pids.events', 'max')
    const wasKilled = killed > this.#killed
    const wasRefused = refused > this.#refused
    this.#killed = killed
    this.#refused = refused
    if (wasKilled) return this.#memoryText()
    return wasRefused ? processBoundText(this.processCountMax) : undefined
  }

  #memoryText(): string {
    const { memoryBytes } = this.#of.bounds
    if (memoryBytes > 0) {
      return (
        `it came up against its bound of ${exactSizeText(memoryBytes)} of memory ` +
        '("resource_spec": {"memory": …})'
      )
    }
    return `memory ran short: the code of all pipelines together may use ${sizeText(this.#of.sharedBytes)}`
  }

  #count(controller: Controller, file: (version: 1 | 2) => string, key: string): number {
    const place = this.#placeOf(controller)
    if (place === undefined) return 0
    let events = this.#events.get(key)
    if (events === undefined) {
      const path = join(place.directory, file(place.version))
      events = { descriptor: openSync(path, 'r'), text: '', count: 0 }
      this.#events.set(key, events)
    }
    const size = readSync(events.descriptor, this.#eventsBytes, 0, eventsBytesMax, 0)
    const text = this.#eventsBytes.toString('latin1', 0, size)
    if (text === events.text) return events.count
    events.text = text
    events.count = Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
    return events.count
  }

  /** Ends all processes in it. When it resolves there are none. */
  async kill(): Promise<void> {
    this.#boundProcesses('0')
    for (const { directory } of this.#directories) await killAll(directory, this.#of.clock)
    this.#boundProcesses(String(this.processCountMax + ownProcessCount))
  }

  #placeOf(controller: Controller): GroupPlace | undefined {
    return this.#directories.find((each) => each.controllers.includes(controller))
  }

  /** Nobody starts others while all are ended. */
  #boundProcesses(count: string): void {
    const place = this.#placeOf('pids')
    if (place !== undefined) writeFileSync(join(place.directory, 'pids.max'), count)
  }

  /** Ends what is left in it, and removes it: now, or when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { descriptor } of this.#events.values()) closeSync(descriptor)
    this.#events.clear()
    const { clock, leftovers } = this.#of
    await Promise.all(
      this.#directories.map(({ directory }) => leftovers.remove(groupLeftover(directory, clock))),
    )
  }
}

/** What the kernel says of this process. */
interface GroupTexts {
  readonly mountinfo: string
  readonly own: string
}

function groupTexts(): GroupTexts {
  try {
    const [mountinfo, own] = ['mountinfo', 'cgroup'].map((name) =>
      readFileSync(`/proc/self/${name}`, 'utf8'),
    )
    return { mountinfo: mountinfo ?? '', own: own ?? '' }
  } catch {
    // No Linux.
    return { mountinfo: '', own: '' }
  }
}

/** Empty when this process may not make groups there. */
async function usable(
  place: GroupPlace,
  name: string,
  { clock, leftovers }: GroupPorts,
): Promise<readonly GroupPlace[]> {
  try {
    const found = place.version === 1 ? place : delegated(place)
    if (found.controllers.length === 0) return []
    const parent = join(found.directory, name)
    // Each by itself: one that does not get empty stays beside the new ones.
    const names = existsSync(parent) ? subgroupsOf(parent) : []
    const left = names.filter((each) => each !== livingGroupName())
    await Promise.all(
      left.map((each) => leftovers.remove(groupLeftover(join(parent, each), clock))),
    )
    makeParent(found, name)
    return [found]
  } catch {
    // No right to, or no controller: the executor says which bounds hold.
    return []
  }
}

/** Makes the group around all others, or leaves none. */
function makeParent(place: GroupPlace, name: string): void {
  const { version, directory, controllers: bounded } = place
  const parent = join(directory, name)
  const living = join(parent, livingGroupName())
  try {
    mkdirSync(living, { recursive: true })
    if (version === 2) enable(parent, bounded)
    if (bounded.includes('memory')) setMemory(parent, version, sharedMemory(directory, version))
  } catch (error) {
    for (const made of [living, parent]) removeEmptyGroup(made)
    throw error
  }
}

/** @throws when the group is not this process's own to divide. */
function delegated({ version, directory, ...place }: GroupPlace): GroupPlace {
  const moved = directory.endsWith(`/${serverName}`)
  const base = moved ? directory.slice(0, -serverName.length - 1) : directory
  const present = readFileSync(join(base, 'cgroup.controllers'), 'utf8').trim().split(' ')
  const bounded = place.controllers.filter((each) => present.includes(each))
  if (bounded.length === 0) return { version, directory: base, controllers: [] }
  // The outermost group of all is nobody's: it is divided with processes in it, and has no type.
  const members = existsSync(join(base, 'cgroup.type')) ? processesIn(base) : []
  if (members.some((pid) => pid !== process.pid)) throw new Error('others are in the group, too')
  if (members.length > 0) {
    const own = join(base, serverName)
    mkdirSync(own, { recursive: true })
    try {
      writeFileSync(join(own, 'cgroup.procs'), String(process.pid))
    } catch (error) {
      removeEmptyGroup(own)
      throw error
    }
  }
  enable(base, bounded)
  return { version, directory: base, controllers: bounded }
}

function enable(directory: string, bounded: readonly Controller[]): void {
  const text = bounded.map((each) => `+${each}`).join(' ')
  writeFileSync(join(directory, 'cgroup.subtree_control'), text)
}

function setBound(
  directory: string,
  version: 1 | 2,
  controller: Controller,
  { cpu, memoryBytes, processCountMax }: GroupBounds,
): void {
  switch (controller) {
    case 'cpu':
      if (cpu > 0) setCpu(directory, version, cpu)
      return
    case 'memory':
      if (memoryBytes > 0) setMemory(directory, version, memoryBytes)
      return
    case 'pids':
      writeFileSync(join(directory, 'pids.max'), String(processCountMax + ownProcessCount))
  }
}

function setCpu(directory: string, version: 1 | 2, cpu: number): void {
  const quota = String(Math.max(cpuQuotaMicrosMin, Math.round(cpu * cpuPeriodMicros)))
  if (version === 2) writeFileSync(join(directory, 'cpu.max'), `${quota} ${cpuPeriodMicros}`)
  else {
    writeFileSync(join(directory, 'cpu.cfs_period_us'), String(cpuPeriodMicros))
    writeFileSync(join(directory, 'cpu.cfs_quota_us'), quota)
  }
}

function setMemory(directory: string, version: 1 | 2, bytes: number): void {
  const [memory, swap, swapText] =
    version === 2
      ? (['memory.max', 'memory.swap.max', '0'] as const)
      : (['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', String(bytes)] as const)
  writeFileSync(join(directory, memory), String(bytes))
  try {
    writeFileSync(join(directory, swap), swapText)
  } catch {
    // This kernel does not count what is swapped out.
  }
}

function oomFile(version: 1 | 2): string {
  return version === 2 ? 'memory.events' : 'memory.oom_control'
}

/** What all user code may use: what this process may, but for a part. */
function sharedMemory(directory: string, version: 1 | 2): number {
  const file = version === 2 ? 'memory.max' : 'memory.limit_in_bytes'
  let limit = Number.POSITIVE_INFINITY
  try {
    const text = readFileSync(join(directory, file), 'utf8').trim()
    if (text !== 'max') limit = Number(text)
  } catch {
    // The outermost group of all has none.
  }
  return memoryForUserCode(limit)
}

/** Of so many bytes, or all that the machine has: what user code may use together. */
export function memoryForUserCode(limit: number = Number.POSITIVE_INFINITY): number {
  const total = Math.min(limit, totalmem())
  const reserved = Math.min(total / 2, Math.max(total * reservedPart, reservedBytesMin))
  return Math.floor(total - reserved)
}
