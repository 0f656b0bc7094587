// Runs datums in containers as a user that is not root, whose engine may be another's, and prints what
// came of them as JSON: ordinary-user-child.ts DIRECTORY IMAGE SOCKET...

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { openContainerExecutor } from '../executors/containers.ts'
import type { Slot } from '../pipelines/executor.ts'
import { runIn, transform } from './process-fixture.ts'

const [directory = '', image = '', ...engineSockets] = process.argv.slice(2)
const never = new AbortController().signal
const scratch = join(directory, 'scratch')
/** Files that nobody gets at but a user that only containers have. */
const hide =
  'umask 077; for d in /pfs/out /tmp /var/tmp; do mkdir -p $d/a/b; echo text >$d/a/b/f; ' +
  'chown -R 5:5 $d/a || exit 9; done'

const options = {
  directory: scratch,
  engineSockets,
  storeId: 'store-of-a-user',
  pullPolicy: 'Never',
  pullSecrets: async () => [],
  network: 'host',
  clock: new SystemClock(),
  random: new SystemRandom(),
} as const

async function abandoned(slot: Slot): Promise<void> {
  const abort = new AbortController()
  const onLine = (): void => abort.abort()
  await slot.run({ environment: {}, onLine, onLeftOut: () => {} }, abort.signal).catch(() => {})
}

const sh = (script: string): ReturnType<typeof transform> =>
  transform(['sh', '-c', script], {
    image,
    resources: { cpu: 1, memoryBytes: 64 * 1024 * 1024, gpu: 0 },
  })

// What a crash left: a slot whose container was ended, as `hide` made it.
const first = await openContainerExecutor(options)
const left = await first.openSlot(sh(`${hide}; echo up; sleep 1000`), never)
await abandoned(left)
const leftNames = readdirSync(scratch)

await using executor = await openContainerExecutor(options)
const afterOpening = readdirSync(scratch)
const given = await executor.openSlot(sh('chown 5:5 /pfs/out /tmp && echo text >/pfs/out/f'), never)
const outputs: string[] = []
for (let round = 0; round < 2; round += 1) {
  mkdirSync(join(given.pfsDirectory, 'in'))
  writeFileSync(join(given.pfsDirectory, 'in/f'), 'input')
  const { exitCode } = await runIn(given)
  outputs.push(`${exitCode} ${readFileSync(join(given.pfsDirectory, 'out/f'), 'utf8').trim()}`)
  await given.reset()
}
await given[Symbol.asyncDispose]()

await using maker = await executor.openSlot(sh('unshare -U true'), never)
const making = await runIn(maker)
await maker[Symbol.asyncDispose]()

const ended = await executor.openSlot(sh(`${hide}; echo up; sleep 1000`), never)
await abandoned(ended)
await ended[Symbol.asyncDispose]()
await left[Symbol.asyncDispose]()
await first[Symbol.asyncDispose]()

const result = {
  leftCount: leftNames.length,
  afterOpening,
  outputs,
  afterEnding: readdirSync(scratch),
  making: [making.exitCode, ...making.stderr],
  notices: executor.notices(sh('true')),
}
process.stdout.write(`${JSON.stringify(result)}\n`)
