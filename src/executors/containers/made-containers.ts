import type { ContainerCreateOptions } from 'dockerode'

import type { Clock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { newHexId, type Random } from '../../base/random.ts'
import type { Leftovers } from '../leftovers.ts'
import type { Engine } from './engine.ts'
import { wasAsked } from './engine-errors.ts'

const nameDigits = 16
/** An engine that answers again still does what it was asked meanwhile. */
const awaitedMsMax = 10 * 60_000

export interface MadeContainer {
  readonly id: string
  /** Ends all that runs in it. @throws {DomainError} when it stays for now: it is removed later. */
  readonly remove: () => Promise<void>
}

interface MadeContainersPorts {
  readonly engine: Engine
  readonly leftovers: Leftovers
  readonly clock: Clock
  readonly random: Random
}

/** Makes containers, and removes those, too, that an engine makes or keeps when nobody waits for it any more. */
export class MadeContainers {
  readonly #ports: MadeContainersPorts

  constructor(ports: MadeContainersPorts) {
    this.#ports = ports
  }

  /** `onRemovedLate` removes what is only for this container, which the engine may have made anew. */
  async make(
    options: ContainerCreateOptions,
    onRemovedLate: () => Promise<void>,
  ): Promise<MadeContainer> {
    const { engine, random } = this.#ports
    const name = `pachyderm-${newHexId(random).slice(0, nameDigits)}`
    const removeLater = (): void => this.#removeLater(name, onRemovedLate)
    let id: string
    try {
      id = await engine.createContainer({ ...options, name })
    } catch (error) {
      if (error instanceof UnavailableError && wasAsked(error)) removeLater()
      throw error
    }
    return {
      id,
      async remove() {
        try {
          await engine.removeContainer(id)
        } catch (error) {
          removeLater()
          throw error
        }
      },
    }
  }

  #removeLater(name: string, onRemovedLate: () => Promise<void>): void {
    const { engine, leftovers, clock } = this.#ports
    let missingFromMs: number | undefined
    void leftovers.remove({
      what: `container ${name} of ${engine.address}`,
      async remove() {
        const wasThere = await engine.removeContainer(name)
        await onRemovedLate()
        missingFromMs ??= clock.monotonicMs()
        return wasThere || clock.monotonicMs() - missingFromMs > awaitedMsMax
      },
    })
  }
}
