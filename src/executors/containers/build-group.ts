import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Clock } from '../../base/clock.ts'
import { killGroup, removeGroup } from '../process/group-removal.ts'

const root = '/sys/fs/cgroup'
/** In the older hierarchies, or in the newer. */
const pidsPlaces = [join(root, 'pids'), root]

/**
 * The control group of a build. Podman goes on with the steps of one whose caller is gone: by their
 * group they are found, and ended. Only root can have one.
 */
export class BuildGroup implements AsyncDisposable {
  readonly #name: string
  readonly #clock: Clock

  /** `name` is a plain one of the outermost group. */
  static open(name: string, processCountMax: number, clock: Clock): BuildGroup {
    for (const place of pidsPlaces) {
      try {
        mkdirSync(join(place, name))
        writeFileSync(join(place, name, 'pids.max'), String(processCountMax))
        break
      } catch {
        // The kernel keeps this hierarchy elsewhere, or not at all: then nothing bounds them.
      }
    }
    return new BuildGroup(name, clock)
  }

  private constructor(name: string, clock: Clock) {
    this.#name = name
    this.#clock = clock
  }

  /** What engines are told: a group below, for they remove theirs after each step, and its bounds. */
  get path(): string {
    return `/${this.#name}/steps`
  }

  /** Ends all that runs in it now. */
  async kill(): Promise<void> {
    for (const directory of directoriesOf(this.#name)) await killGroup(directory, this.#clock)
  }

  /** Ends all that runs in it, and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await removeGroups(this.#name, this.#clock)
  }
}

/** Ends the builds whose names begin so: those that a crash left. */
export async function removeBuildGroups(prefix: string, clock: Clock): Promise<void> {
  const names = hierarchies().flatMap((place) => namesIn(place).filter((n) => n.startsWith(prefix)))
  for (const name of new Set(names)) await removeGroups(name, clock)
}

async function removeGroups(name: string, clock: Clock): Promise<void> {
  for (const directory of directoriesOf(name)) {
    try {
      await removeGroup(directory, clock)
    } catch {
      // The engine removes it at the same moment; or an ordinary user, who made none.
    }
  }
}

function directoriesOf(name: string): readonly string[] {
  return hierarchies().map((place) => join(place, name))
}

/** All that there may be. */
function hierarchies(): readonly string[] {
  return [root, ...namesIn(root).map((name) => join(root, name))]
}

function namesIn(directory: string): readonly string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    return []
  }
}
