import { availableParallelism } from 'node:os'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

// One module graph for each thread, shared by its test files: this is what makes the suite fast, and why no
// module holds mutable state.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts'],
    pool: 'threads',
    isolate: false,
    // One more than there are processors, since tests wait for programs and each other's turns.
    maxWorkers: availableParallelism() + 1,
    globalSetup: ['test/harness/run-directory.ts'],
    // Only for what hangs: the slowest of machines is busy, too.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 20_000,
    // A busy machine is slow: what a test waits for has as long as it may take there.
    expect: { poll: { timeout: 60_000 } },
  },
})

export default config
