// Runs datums that come up against their bounds, and prints how they ended as JSON:
// newer-groups-child.ts DIRECTORY

import { join } from 'node:path'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { openProcessExecutor } from '../executors/process.ts'
import { boundLifting } from './bound-lifting-code.ts'
import { runIn, sh } from './process-fixture.ts'

const [directory = ''] = process.argv.slice(2)
const never = new AbortController().signal
const megabyte = 1024 * 1024

/** A kernel in a kernel is many times slower: what is given up here is not what is tested. */
class PatientClock extends SystemClock {
  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await super.sleep(ms >= 10_000 ? ms * 10 : ms, signal)
  }
}

await using executor = await openProcessExecutor({
  directory: join(directory, 'scratch'),
  hiddenDirectories: [],
  clock: new PatientClock(),
  random: new SystemRandom(),
  bounds: { processCountMax: 30 },
})

await executor.lookWhole()

async function endOf(script: string, memoryBytes = 0, cpu = 0): Promise<readonly unknown[]> {
  const what = { ...sh(script), resources: { cpu, memoryBytes, gpu: 0 } }
  await using slot = await executor.openSlot(what, never)
  const { exitCode, bound, stdout } = await runIn(slot)
  return [exitCode, bound ?? '', ...stdout]
}

const result = {
  isolation: executor.isolation,
  holds: [...executor.holds].toSorted(),
  memory: await endOf('head -c 40000000 /dev/zero | tail -c 40000000 >/dev/null', 16 * megabyte),
  processes: await endOf('n=0; while [ $n -lt 60 ]; do sleep 100 & n=$((n+1)); done; exit 4'),
  // Where the kernel keeps it: what it does with it is its own affair.
  cpu: await endOf(
    'read -r own </proc/self/cgroup; cat "/sys/fs/cgroup${own#0::}/cpu.max"',
    0,
    0.25,
  ),
  lifted: await endOf(boundLifting() ?? ''),
}
process.stdout.write(`${JSON.stringify(result)}\n`)
