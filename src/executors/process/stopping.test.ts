import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { descendantsOf } from './child-processes.ts'
import { continueAll, stopAll, stoppedMax } from './stopping.ts'

const clock = new SystemClock()

/** A shell with so many children, which end with it. */
async function startFamily(count: number): Promise<{ readonly pid: number } & AsyncDisposable> {
  const script = `for index in $(seq ${count}); do sleep 1000 & done; echo started; wait`
  const shell = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
  const ended = once(shell, 'exit')
  await once(shell.stdout, 'data')
  const { pid = 0 } = shell
  return {
    pid,
    async [Symbol.asyncDispose]() {
      process.kill(-pid, 'SIGKILL')
      await ended
    },
  }
}

test('of very many processes no more are listed than show that', async () => {
  await using family = await startFamily(6)
  await using other = await startFamily(1)
  expect(descendantsOf(family.pid)).toHaveLength(6)
  const all = descendantsOf(process.pid)
  expect(all).toEqual(expect.arrayContaining([family.pid, other.pid, ...descendantsOf(family.pid)]))
  // Those of this process, and not theirs.
  expect(descendantsOf(process.pid, 1)).not.toEqual(
    expect.arrayContaining([...descendantsOf(family.pid)]),
  )
})

test('processes are stopped together, and go on', async () => {
  await using family = await startFamily(3)
  const list = (): readonly number[] => [family.pid, ...descendantsOf(family.pid)]
  const stopped = await stopAll(list, clock)
  expect(new Set(stopped)).toEqual(new Set(list()))
  continueAll(stopped ?? [])
})

test('very many are not stopped at all', async () => {
  // Were it to stop, nobody would hear of it.
  const many = Array.from({ length: stoppedMax + 1 }, () => process.pid)
  expect(await stopAll(() => many, clock)).toBeUndefined()
})
