import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'

import type { Clock } from '../../base/clock.ts'
import { exactSizeText, sizeText } from '../../base/sizes.ts'
import { type Controller, findGroupPlaces, type GroupPlace } from './cgroup-places.ts'
import { type CountedProcesses, processBoundText, type ProcessCounts } from './process-watch.ts'

/** In version 2 only groups without processes have groups below them: this server moves here. */
const serverName = 'pachyderm-server'
const cpuPeriodMicros = 100_000
const cpuQuotaMicrosMin = 1000
/** Of user code together: so much memory stays for the server and the rest of the machine. */
const reservedPart = 0.1
const reservedBytesMin = 512 * 1024 * 1024
const killRoundsMax = 500
/** How process executors call theirs. */
const serverGroups = /^pachyderm-[0-9a-f]{16}$/
/** An empty group that tells whose the one around it is. */
const livingGroup = /^server-(\d+)$/
const leftMs = 10 * 60_000
const leftGroupsMax = 1000
const microsPerMilli = 1000
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

interface GroupOf {
  readonly bounds: GroupBounds
  /** Of all groups together. */
  readonly sharedBytes: number
  readonly clock: Clock
}

/** Where the kernel keeps bounds for groups of processes, if it lets this process say so. */
export class ControlGroups implements AsyncDisposable {
  readonly #places: readonly GroupPlace[]
  readonly #clock: Clock
  /** Of user code together; 0 when nothing bounds it. */
  readonly memoryBytes: number
  readonly #name: string

  private constructor(places: readonly GroupPlace[], name: string, clock: Clock) {
    this.#places = places
    this.#clock = clock
    this.#name = name
    this.memoryBytes = this.#makeParents()
  }

  /**
   * `name` is this executor's alone. Groups that an earlier server has left under it are ended.
   * Without the right to make groups, those that come out bound nothing.
   */
  static async open(
    name: string,
    clock: Clock,
    texts: GroupTexts = groupTexts(),
  ): Promise<ControlGroups> {
    const places: GroupPlace[] = []
    for (const place of findGroupPlaces(texts.mountinfo, texts.own)) {
      places.push(...(await usable(place, name, clock)))
    }
    for (const { directory } of places) removeLeftGroups(directory, name, clock)
    return new ControlGroups(places, name, clock)
  }

  get bounded(): ReadonlySet<Controller> {
    return new Set(this.#places.flatMap((place) => place.controllers))
  }

  /** Makes a group; `id` is a plain name. */
  group(id: string, bounds: GroupBounds): ControlGroup {
    const directories = this.#places.map((place) => {
      // A server that cannot see this one, as from a container, may take for left what is empty.
      if (!existsSync(join(place.directory, this.#name))) this.#makeParent(place)
      const directory = join(place.directory, this.#name, id)
      mkdirSync(directory)
      for (const controller of place.controllers)
        setBound(directory, place.version, controller, bounds)
      return { ...place, directory }
    })
    return new ControlGroup(directories, {
      bounds,
      sharedBytes: this.memoryBytes,
      clock: this.#clock,
    })
  }

  #makeParents(): number {
    return Math.max(0, ...this.#places.map((place) => this.#makeParent(place)))
  }

  /** Returns what bounds the memory of all groups; 0 if nothing does in this place. */
  #makeParent({ version, directory, controllers: bounded }: GroupPlace): number {
    const parent = join(directory, this.#name)
    mkdirSync(join(parent, `server-${process.pid}`), { recursive: true })
    if (version === 2) enable(parent, bounded)
    if (!bounded.includes('memory')) return 0
    const memoryBytes = sharedMemory(directory, version)
    setMemory(parent, version, memoryBytes)
    return memoryBytes
  }

  /** All groups have been disposed of. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { directory } of this.#places) {
      await removeGroup(join(directory, this.#name), this.#clock)
    }
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

  /** Ends what is left in it, and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { descriptor } of this.#events.values()) closeSync(descriptor)
    this.#events.clear()
    for (const { directory } of this.#directories) await removeGroup(directory, this.#of.clock)
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
  clock: Clock,
): Promise<readonly GroupPlace[]> {
  try {
    const found = place.version === 1 ? place : delegated(place)
    if (found.controllers.length === 0) return []
    const parent = join(found.directory, name)
    await removeGroup(parent, clock)
    mkdirSync(parent)
    if (found.version === 2) enable(parent, found.controllers)
    return [found]
  } catch {
    // No right to, or no controller: the executor says which bounds hold.
    return []
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
    writeFileSync(join(own, 'cgroup.procs'), String(process.pid))
  }
  enable(base, bounded)
  return { version, directory: base, controllers: bounded }
}

function enable(directory: string, bounded: readonly Controller[]): void {
  const text = bounded.map((each) => `+${each}`).join(' ')
  writeFileSync(join(directory, 'cgroup.subtree_control'), text)
}

function processesIn(directory: string): readonly number[] {
  const text = readFileSync(join(directory, 'cgroup.procs'), 'utf8')
  return text.split('\n').filter(Boolean).map(Number)
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

/** Removes the groups of servers that were killed, and whose directories nobody has used since. */
function removeLeftGroups(directory: string, own: string, clock: Clock): void {
  const beforeMs = clock.now() / microsPerMilli - leftMs
  const names = readdirSync(directory).filter((name) => serverGroups.test(name) && name !== own)
  for (const name of names.slice(0, leftGroupsMax)) {
    try {
      removeLeft(join(directory, name), beforeMs)
    } catch {
      // It is in use, or another user's.
    }
  }
}

/** @throws when its server lives, something is in it, or it was made later than that. */
function removeLeft(directory: string, beforeMs: number): void {
  const names = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  const pids = names.map((name) => livingGroup.exec(name)?.[1])
  if (pids.some((pid) => pid !== undefined && existsSync(`/proc/${pid}`))) {
    throw new Error('its server lives')
  }
  if (statSync(directory).mtimeMs > beforeMs) throw new Error('it is new')
  for (const name of names) removeLeft(join(directory, name), beforeMs)
  // The kernel removes none that has a process.
  rmdirSync(directory)
}

/** Ends all that is in a group and those below it; there may be none. */
export async function killGroup(directory: string, clock: Clock): Promise<void> {
  if (!existsSync(directory)) return
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await killGroup(join(directory, entry.name), clock)
  }
  await killAll(directory, clock)
}

/** The same, and removes them. */
export async function removeGroup(directory: string, clock: Clock): Promise<void> {
  if (!existsSync(directory)) return
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeGroup(join(directory, entry.name), clock)
  }
  await killAll(directory, clock)
  rmdirSync(directory)
}

async function killAll(directory: string, clock: Clock): Promise<void> {
  for (let round = 0; round < killRoundsMax; round += 1) {
    const pids = processesIn(directory)
    if (pids.length === 0) return
    // The kernel writes 0 for one that is just ending; to signal 0 is to signal this process's own group.
    for (const pid of pids) if (pid !== 0) killQuietly(pid)
    await clock.sleep(1)
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
