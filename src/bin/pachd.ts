import { closeInherited } from '../server/inherited-descriptors.ts'
import { runPachd } from '../server/pachd.ts'

const stopSignals = ['SIGINT', 'SIGTERM'] as const

closeInherited()

// A log that nobody takes any more is no reason to end.
process.stderr.on('error', () => undefined)

process.exitCode = await runPachd({
  args: process.argv.slice(2),
  environment: process.env,
  stdout: process.stdout,
  err: (text) => void process.stderr.write(text),
  // Once: a second signal ends the process at once.
  stopAsked: () =>
    new Promise((resolve) => {
      for (const signal of stopSignals) process.once(signal, resolve)
    }),
})
