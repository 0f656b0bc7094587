import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import {
  type ContainerExecutor,
  type ContainerExecutorOptions,
  openContainerExecutor,
} from '../executors/containers.ts'

/** A container executor with a directory of its own; disposing removes both. */
export class TestContainerExecutor implements AsyncDisposable {
  readonly executor: ContainerExecutor
  readonly directory: string

  private constructor(executor: ContainerExecutor, directory: string) {
    this.executor = executor
    this.directory = directory
  }

  static async open(
    socketPath: string,
    more: Partial<ContainerExecutorOptions> = {},
  ): Promise<TestContainerExecutor> {
    const directory = mkdtempSync(join(tmpdir(), 'pachyderm-containers-'))
    try {
      const executor = await openContainerExecutor({
        directory: join(directory, 'scratch'),
        engineSockets: [socketPath],
        storeId: 'store-of-a-test',
        pullPolicy: 'IfNotPresent',
        pullSecrets: async () => [],
        network: 'host',
        clock: new SystemClock(),
        random: new SystemRandom(),
        ...more,
      })
      return new TestContainerExecutor(executor, directory)
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.executor[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
