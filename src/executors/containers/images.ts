import type { Clock, Instant } from '../../base/clock.ts'
import { type DomainError, FailedPreconditionError } from '../../base/errors.ts'
import type { OnWait } from '../../pipelines/executor.ts'
import { unlessAborted } from '../process/unless-aborted.ts'
import type { Engine, EngineImage } from './engine.ts'
import { loginFor, type RegistryLogin, registryOf } from './registry-logins.ts'

/** When an image is asked for at its registry; as Kubernetes says it. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never'

/**
 * What is in secrets that hold logins to registries, as Docker's `config.json` has them.
 *
 * @throws {FailedPreconditionError} naming a secret that does not exist.
 */
export type PullSecrets = (names: readonly string[]) => Promise<readonly string[]>

export interface ImagesPorts {
  readonly engine: Pick<Engine, 'image' | 'pull'>
  readonly pullPolicy: PullPolicy
  readonly pullSecrets: PullSecrets
  readonly clock: Clock
}

/** One that goes on, for all who wait for it. */
interface Pull {
  readonly name: string
  readonly since: Instant
  readonly end: Promise<void>
  /** Ends it: nobody waits any more. */
  readonly ending: AbortController
  waiterCount: number
}

const pullTryCount = 3
const pullPauseMs = 3000

/** The images of an engine, pulled when they are needed. */
export class Images {
  readonly #ports: ImagesPorts
  /** Many slots are opened at once, for one image, and by more than one pipeline. */
  readonly #pulls = new Map<string, Pull>()

  constructor(ports: ImagesPorts) {
    this.#ports = ports
  }

  /** @throws {FailedPreconditionError} when it cannot be had. */
  async get(
    name: string,
    secretNames: readonly string[],
    { signal, onWait }: { readonly signal: AbortSignal; readonly onWait: OnWait },
  ): Promise<EngineImage> {
    onWait(`looking for image ${name}`)
    const { engine, pullPolicy } = this.#ports
    const present = await engine.image(name)
    if (present !== undefined && pullPolicy !== 'Always') return present
    if (present === undefined && pullPolicy === 'Never') {
      throw new FailedPreconditionError(
        `the container engine has no image ${name}, and pachd --image-pull Never lets none be pulled: build or load it, or correct "transform.image"`,
      )
    }
    if (registryOf(name) === 'localhost') {
      if (present !== undefined) return present
      throw new FailedPreconditionError(
        `the container engine has no image ${name}, and names at localhost are of images that were made there: build it, or correct "transform.image"`,
      )
    }
    onWait(`pulling image ${name}`)
    await this.#pull(name, secretNames, signal)
    const pulled = await engine.image(name)
    if (pulled !== undefined) return pulled
    throw new FailedPreconditionError(`image ${name} was pulled, and is not there`)
  }

  /** When a pull began that goes on. */
  pulledSince(name: string): Instant | undefined {
    return this.#pulls.values().find((pull) => pull.name === name)?.since
  }

  /** Whoever goes leaves the pull to the others: the last one ends it. */
  async #pull(name: string, secretNames: readonly string[], signal: AbortSignal): Promise<void> {
    const key = JSON.stringify([name, secretNames])
    const pull = this.#pulls.get(key) ?? this.#startPull(key, name, secretNames)
    pull.waiterCount += 1
    try {
      await unlessAborted(pull.end, signal, 'pulling the image was cancelled')
    } finally {
      pull.waiterCount -= 1
      if (pull.waiterCount === 0) {
        // Whoever comes now begins anew.
        if (this.#pulls.get(key) === pull) this.#pulls.delete(key)
        pull.ending.abort()
      }
    }
  }

  #startPull(key: string, name: string, secretNames: readonly string[]): Pull {
    const ending = new AbortController()
    const end = this.#tryPull(name, secretNames, ending.signal).finally(() => {
      if (this.#pulls.get(key) === pull) this.#pulls.delete(key)
    })
    const pull: Pull = { name, since: this.#ports.clock.now(), end, ending, waiterCount: 0 }
    this.#pulls.set(key, pull)
    return pull
  }

  async #tryPull(name: string, secretNames: readonly string[], signal: AbortSignal): Promise<void> {
    const { engine, pullSecrets, clock } = this.#ports
    const documents = secretNames.length === 0 ? [] : await pullSecrets(secretNames)
    const login = loginFor(name, documents)
    for (let tries = 1; ; tries += 1) {
      try {
        await engine.pull(name, login, signal)
        return
      } catch (error) {
        if (!(error instanceof FailedPreconditionError)) throw error
        if (tries === pullTryCount || isRefusal(error)) {
          throw pullError(name, error, { login, secretNames })
        }
      }
      await clock.sleep(pullPauseMs, signal)
    }
  }
}

/** The registry has answered, and will answer the same again. */
function isRefusal(error: DomainError): boolean {
  return /not found|manifest unknown|unauthorized|denied|no such|invalid reference|name unknown/i.test(
    error.message,
  )
}

function pullError(
  name: string,
  error: DomainError,
  used: { readonly login: RegistryLogin | undefined; readonly secretNames: readonly string[] },
): FailedPreconditionError {
  const registry = registryOf(name)
  const login =
    used.login !== undefined
      ? 'with the login of transform.image_pull_secrets'
      : used.secretNames.length > 0
        ? `without a login, for ${used.secretNames.join(', ')} has none for ${registry}`
        : 'without a login'
  return new FailedPreconditionError(
    `image ${name} could not be pulled from ${registry} (${login}): ${error.message}; correct "transform.image" or "transform.image_pull_secrets", or load the image into the engine`,
    { cause: error },
  )
}
