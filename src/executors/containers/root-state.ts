import { changedPath, upperState } from './root-changes.ts'
import type { WarmContainer } from './warm-container.ts'

/** What a container's own file system is like when no datum has run in it yet. */
export class RootState {
  readonly #upper: string | undefined
  readonly #changes: ReadonlySet<string>

  /** Asks the engine only where the host cannot look for itself. */
  static async of(container: WarmContainer): Promise<RootState> {
    const { upperDirectory } = container
    const upper = upperDirectory === undefined ? undefined : upperState(upperDirectory)
    const changes = upper === undefined ? await container.changes() : []
    return new RootState(upper, changes)
  }

  private constructor(upper: string | undefined, changes: readonly string[]) {
    this.#upper = upper
    this.#changes = new Set(changes)
  }

  /** A path that has changed since; undefined when none has. */
  async changedPath(container: WarmContainer): Promise<string | undefined> {
    const { upperDirectory } = container
    if (this.#upper === undefined || upperDirectory === undefined) {
      const changes = await container.changes()
      return changes.filter((path) => !this.#changes.has(path)).at(-1)
    }
    const upper = upperState(upperDirectory)
    if (upper === this.#upper) return undefined
    if (upper === undefined) return '/'
    return changedPath(this.#upper, upper, upperDirectory) ?? '/'
  }
}
