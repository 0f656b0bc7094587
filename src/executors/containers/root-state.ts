import { changedPath, stateOf } from './root-changes.ts'
import type { WarmContainer } from './warm-container.ts'

/** Why a container is not as its image made it, or may not be. */
export interface RootChange {
  /** In the container. */
  readonly path: string
  /** False for a place that user code could change, and that this server cannot look at. */
  readonly isSeen: boolean
}

/** What the files of a container's own are like when no datum has run in it yet. */
export class RootState {
  readonly #upper: string | undefined
  readonly #changes: ReadonlySet<string>
  readonly #places: string | undefined

  /** Asks the engine only where the host cannot look for itself. */
  static async of(container: WarmContainer): Promise<RootState> {
    const { upperDirectory } = container
    const upper = upperDirectory === undefined ? undefined : stateOf([upperDirectory])
    const changes = upper === undefined ? await container.changes() : []
    return new RootState(upper, changes, placesOf(container))
  }

  private constructor(
    upper: string | undefined,
    changes: readonly string[],
    places: string | undefined,
  ) {
    this.#upper = upper
    this.#changes = new Set(changes)
    this.#places = places
  }

  /** What has changed since; undefined when nothing has. */
  async change(container: WarmContainer): Promise<RootChange | undefined> {
    const path = await this.#changedPath(container)
    if (path !== undefined) return { path, isSeen: true }
    const [unseen] = unseenPlaces(container)
    if (unseen !== undefined) return { path: unseen, isSeen: false }
    const places = placesOf(container)
    const [place = '/'] = container.writablePlaces
    // What is too much to look at counts as changed.
    if (places === undefined || this.#places === undefined) return { path: place, isSeen: true }
    if (places === this.#places) return undefined
    const changed = changedPath(this.#places, places, container.visibleRoot ?? '')
    return { path: changed ?? place, isSeen: true }
  }

  async #changedPath(container: WarmContainer): Promise<string | undefined> {
    const { upperDirectory } = container
    if (this.#upper === undefined || upperDirectory === undefined) {
      const changes = await container.changes()
      return changes.filter((path) => !this.#changes.has(path)).at(-1)
    }
    const upper = stateOf([upperDirectory])
    if (upper === this.#upper) return undefined
    if (upper === undefined) return '/'
    return changedPath(this.#upper, upper, upperDirectory) ?? '/'
  }
}

/** Into these the runner looks after each datum. */
const placesOfRunner: ReadonlySet<string> = new Set(['/dev/shm', '/dev/mqueue', '/dev/pts'])

/** Places that user code could change, and that nobody would look at. */
function unseenPlaces({ writablePlaces, visibleRoot }: WarmContainer): readonly string[] {
  return visibleRoot === undefined
    ? writablePlaces.filter((place) => !placesOfRunner.has(place))
    : []
}

/** The state of what is mounted in a container; undefined when that cannot be looked at. */
function placesOf({ writablePlaces, visibleRoot }: WarmContainer): string | undefined {
  return visibleRoot === undefined
    ? ''
    : stateOf(writablePlaces.map((place) => visibleRoot + place))
}
