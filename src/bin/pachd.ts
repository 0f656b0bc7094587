import { runPachd } from '../server/pachd.ts'

const stopSignals = ['SIGINT', 'SIGTERM'] as const

process.exitCode = await runPachd({
  args: process.argv.slice(2),
  environment: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  // Once: a second signal ends the process at once.
  stopAsked: () =>
    new Promise((resolve) => {
      for (const signal of stopSignals) process.once(signal, resolve)
    }),
})
