import { runPachctl } from '../cli/pachctl.ts'

process.exitCode = await runPachctl(process, {
  upgradeStore: async () => (await import('../server/store-upgrades.ts')).upgradeStore,
})
