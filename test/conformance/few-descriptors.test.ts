import { expect, test } from 'vitest'

import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor, pachdProgram } from '../harness/child-pachd.ts'
import { commitFiles } from '../harness/files.ts'
import { jobsOf } from '../harness/pipelines.ts'
import { TestClient } from '../harness/test-pachd.ts'

const datumCount = 60

test('more datums at once than there are file descriptors for: their job says so, and the server goes on', async () => {
  await using directory = await TemporaryDirectory.create()
  const few = 'ulimit -n 150; exec "$0" "$@"'
  const args = ['-c', few, pachdProgram, ...oneDoor(directory.join('data'))]
  await using child = new ChildPachd(args, { program: '/bin/sh' })
  await using client = new TestClient(await child.ready)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  const files = Array.from({ length: datumCount }, (_, index) => [`f${index}`, 'text'])
  await commitFiles(client, { repo: 'r', branch: 'master' }, Object.fromEntries(files))
  // Until it is ended: what has a slot keeps it.
  await client.pps.createPipeline({
    pipeline: { name: 'p' },
    transform: { cmd: ['sh', '-c', 'sleep 40'] },
    input: { atom: { repo: 'r', glob: '/*' } },
    parallelismSpec: { constant: 50n },
  })
  const failures = async (): Promise<bigint | undefined> =>
    (await jobsOf(client, 'p')).at(0)?.dataFailed
  await expect.poll(failures, { timeout: 50_000, interval: 500 }).toBeGreaterThan(0n)
  const [job] = await jobsOf(client, 'p')
  const lines: string[] = []
  for await (const { message } of client.pps.getLogs({ job: { id: job?.job?.id ?? '' } })) {
    lines.push(message)
  }
  expect(lines.join('\n')).toContain(
    'this server has no file descriptors left for this, of the 150 that it may have: raise that limit',
  )
  child.signal('SIGTERM')
  expect((await child.exit).code).toBe(0)
}, 120_000)
