import { runPachctl } from '../cli/pachctl.ts'

process.exitCode = await runPachctl(process)
