import { availableParallelism } from 'node:os'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files with few lines that start many processes, engines or clusters. */
const longFiles =
  /bucket-|clients|containers|crash|demo|examples|exports|fsck-|golden|groups|hostile|killed|migration|process-|simulation|-sources|-stores/

/** Long ones first, so that none is left alone at the end. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array's
    const sorted = await super.sort(files)
    const { long = [], rest = [] } = Object.groupBy(sorted, ({ moduleId }) =>
      longFiles.test(moduleId) ? 'long' : 'rest',
    )
    return [...long, ...rest]
  }
}

// One module graph for each process, shared by its test files: this is what makes the suite fast, and why no
// module holds mutable state. Processes, not threads: tests start programs all the time, and what a fork costs grows
// with the memory of who forks.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts'],
    pool: 'forks',
    isolate: false,
    // One more than there are processors, since tests wait for programs and each other's turns.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongFirst },
    globalSetup: ['test/harness/run-directory.ts'],
    // Only for what hangs: the slowest of machines is busy, too.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    teardownTimeout: 20_000,
    // A busy machine is slow: what a test waits for has as long as it may take there.
    expect: { poll: { timeout: 60_000 } },
  },
})

export default config
