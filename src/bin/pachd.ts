import { closeInherited } from '../server/inherited-descriptors.ts'
import { runPachd } from '../server/pachd.ts'

/** Whatever then still keeps the process would keep it for ever. */
const endGraceMs = 5000
const stopSignals = ['SIGINT', 'SIGTERM'] as const

closeInherited()

// A log that nobody takes any more is no reason to end.
process.stderr.on('error', () => undefined)

process.exitCode = await runPachd({
  args: process.argv.slice(2),
  environment: process.env,
  stdout: process.stdout,
  err: (text) => void process.stderr.write(text),
  stopAsked: () =>
    new Promise((resolve) => {
      const stop = (asked: string): void => {
        // A second signal, whichever it is, ends the process at once.
        for (const signal of stopSignals) process.off(signal, stop)
        resolve(asked)
      }
      for (const signal of stopSignals) process.on(signal, stop)
    }),
})

// oxlint-disable-next-line no-restricted-globals -- the clock's sleep would itself keep the process
setTimeout(() => {
  const held = process.getActiveResourcesInfo().join(', ')
  process.stderr.write(`pachd: ended, though something was still open: ${held}\n`)
  // oxlint-disable-next-line no-process-exit -- to throw would not end it either
  process.exit()
}, endGraceMs).unref()
