import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { executorScript } from '../testing/executor-script.ts'

/** What a program prints that may have few file descriptors, and ends by itself. */
function run(body: string, isolation: 'none' | undefined): readonly string[] {
  const data = mkdtempSync(join(tmpdir(), 'pachyderm-descriptors-'))
  const program = executorScript(
    data,
    `
    import { closeSync, openSync, readdirSync } from 'node:fs'
    const told = (error) => console.log(error.name, error.message)
    const openCount = () => readdirSync('/proc/self/fd').length
    /** Leaves so many. */
    const take = (leftCount) => {
      const taken = []
      try {
        for (;;) taken.push(openSync('/dev/null'))
      } catch {
        for (const one of taken.splice(0, leftCount)) closeSync(one)
      }
      return () => taken.splice(0).forEach((one) => closeSync(one))
    }
    await using executor = await open()
    ${body}
  `,
    { isolation },
  )
  try {
    const script = 'ulimit -n 100; exec "$@"'
    const node = [process.execPath, '--input-type=module', '-e', program]
    const { stdout, stderr } = spawnSync('sh', ['-c', script, 'sh', ...node], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    expect(stderr).toBe('')
    return stdout.trim().split('\n')
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
}

const isShort = /^ResourceExhaustedError this server has no file descriptors left/

test.each(['none', undefined] as const)(
  'a slot that finds no descriptors says so, however many are left, and takes none (isolation %s)',
  (isolation) => {
    const lines = run(
      `
      // What the first of all opens for good.
      await (await executor.openSlot(sh('true'), signal))[Symbol.asyncDispose]()
      const before = openCount()
      for (let leftCount = 0; leftCount < 28; leftCount += 1) {
        const release = take(leftCount)
        const slot = await executor.openSlot(sh('echo up'), signal).catch((error) => error)
        if (!(slot instanceof Error)) await runIn(slot).catch(told)
        release()
        if (slot instanceof Error) told(slot)
        else await slot[Symbol.asyncDispose]()
      }
      console.log(openCount() - before)
      await using slot = await executor.openSlot(sh('echo up'), signal)
      console.log((await runIn(slot)).stdout.join())
    `,
      isolation,
    )
    const [left, up] = lines.slice(-2)
    expect([left, up]).toEqual(['0', 'up'])
    expect(lines.length).toBeGreaterThan(4)
    expect(lines.slice(0, -2).filter((line) => !isShort.test(line))).toEqual([])
  },
  90_000,
)

test.each(['none', undefined] as const)(
  'a command that the kernel starts no program with is refused in words, and leaves nothing open (isolation %s)',
  (isolation) => {
    const lines = run(
      `
      await (await executor.openSlot(sh('true'), signal))[Symbol.asyncDispose]()
      const before = openCount()
      const long = { ...sh('true'), environment: { LONG: 'x'.repeat(200_000) } }
      await executor.openSlot(long, signal).catch(told)
      await executor.openSlot(sh('x'.repeat(200_000)), signal).catch(told)
      console.log(openCount() - before)
    `,
      isolation,
    )
    expect(lines).toEqual([
      expect.stringMatching(/^FailedPreconditionError transform\.env has 200005 bytes in "LONG"/),
      expect.stringMatching(/^FailedPreconditionError transform\.cmd\[2\] has 200000 bytes/),
      '0',
    ])
  },
)
