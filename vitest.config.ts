import { defineConfig, type ViteUserConfig } from 'vitest/config'

// One module graph for each thread, shared by its test files: this is what makes the suite fast, and why no
// module holds mutable state.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts'],
    pool: 'threads',
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // A busy machine is slow: what a test waits for has as long as it may take there.
    expect: { poll: { timeout: 20_000 } },
  },
})

export default config
