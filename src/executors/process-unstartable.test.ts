import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import type { Slot } from '../pipelines/executor.ts'
import { type BrokenProgram, brokenPrograms } from '../testing/broken-programs.ts'
import { isolationsHere } from '../testing/executors-under-test.ts'
import { runIn, sh, transform } from '../testing/process-fixture.ts'
import { type Isolation, openProcessExecutor, type ProcessExecutor } from './process.ts'

const never = new AbortController().signal
const programs = Object.entries(brokenPrograms)

let data = ''
let executor: ProcessExecutor

afterEach(async () => {
  await executor[Symbol.asyncDispose]()
  rmSync(data, { recursive: true, force: true })
})

function give(slot: Slot, { bytes, mode }: BrokenProgram): string {
  mkdirSync(join(slot.pfsDirectory, 'in'))
  writeFileSync(join(slot.pfsDirectory, 'in/tool'), bytes)
  chmodSync(join(slot.pfsDirectory, 'in/tool'), mode)
  return `${slot.pfsPath}/in/tool`
}

/** Whether it is told by an error or by the reason of a result. */
async function reasonOf(slot: Slot): Promise<string> {
  const ran = await runIn(slot).catch((error: Error) => error.message)
  return typeof ran === 'string' ? ran : `${ran.exitCode}: ${ran.bound}`
}

async function open(isolation: Isolation): Promise<void> {
  // Below the checkout: what is below /tmp is out of sight for user code anyway.
  data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-programs-'))
  executor = await openProcessExecutor({
    directory: join(data, 'scratch'),
    hiddenDirectories: [data],
    clock: new SystemClock(),
    random: new SystemRandom(),
    isolation,
  })
}

describe.each(isolationsHere.filter((isolation) => isolation !== 'none'))(
  'in a sandbox of "%s"',
  (isolation) => {
    beforeEach(() => open(isolation))

    test.each(programs)('a program %s is told of by its name, with why', async (_, program) => {
      await using slot = await executor.openSlot(transform(['/pfs/in/tool']), never)
      give(slot, program)
      const reason = await reasonOf(slot)
      expect(reason).toContain('"/pfs/in/tool" cannot be started: ')
      expect(reason).toContain(program.told)
    })

    test('a program on PATH is told of with its file', async () => {
      const environment = { PATH: '/usr/bin:/bin:/pfs/in' }
      await using slot = await executor.openSlot(transform(['tool'], { environment }), never)
      give(slot, { bytes: Buffer.from('#!/opt/none\n'), mode: 0o755, told: '' })
      expect(await reasonOf(slot)).toContain(
        'program "tool" cannot be started: /pfs/in/tool: its first line asks for',
      )
    })

    test('what a program is, is found as user code sees it', async () => {
      await using slot = await executor.openSlot(transform(['/pfs/in/tool']), never)
      mkdirSync(join(slot.pfsDirectory, 'in'))
      // In the sandbox there is nothing; on the host, a script that would be told of.
      writeFileSync(join(data, 'script'), '#!/opt/none\n', { mode: 0o755 })
      symlinkSync(join(data, 'script'), join(slot.pfsDirectory, 'in/tool'))
      expect(await reasonOf(slot)).toContain('was not found')
    })
  },
)

describe.each(isolationsHere)('with isolation "%s"', (isolation) => {
  beforeEach(() => open(isolation))

  test.each(programs.filter(([, { mode, told }]) => mode === 0o755 && !told.includes('256KiB')))(
    'a program %s that the code itself starts is told of, too',
    async (_, program) => {
      await using slot = await executor.openSlot(sh('"$PFS/in/tool"'), never)
      const file = give(slot, program)
      const { exitCode, bound } = await runIn(slot)
      expect([126, 127]).toContain(exitCode)
      expect(bound).toContain(`"${file}" cannot be started: `)
      expect(bound).toContain(program.told)
    },
  )

  test('code that ends with such codes by itself is told of as ever', async () => {
    for (const code of [2, 126, 127, 139]) {
      await using slot = await executor.openSlot(
        sh(`echo "a: /bin/sh: not found" >&2; exit ${code}`),
        never,
      )
      const { exitCode, bound } = await runIn(slot)
      expect({ exitCode, bound }).toEqual({ exitCode: code, bound: undefined })
    }
  })

  test('what the runner says is not in the output of the datum', async () => {
    await using killed = await executor.openSlot(transform(['sh', '-c', 'kill -9 $$']), never)
    expect(await runIn(killed)).toMatchObject({ exitCode: 137, stderr: [] })
    await using crashed = await executor.openSlot(sh('kill -SEGV $$'), never)
    expect(await runIn(crashed)).toMatchObject({ exitCode: 139, stderr: [] })
  })
})
