import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { DatumState, JobState } from '../../src/gen/pps_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { commitFiles } from '../harness/files.ts'
import { atomOf, flush, jobsOf, outputOf } from '../harness/pipelines.ts'
import { TestClient } from '../harness/test-pachd.ts'

const pipelines = Array.from({ length: 100 }, (_, index) => `p${index}`)
const files = { a: 'one', b: 'two', c: 'three', d: 'four' }
/** How many datums more are recorded in each life of the server, at least, before `kill -9`. */
const lives = [1, 20, 60]
/** For a busy machine. */
const lifeMsMax = 400_000

/** Hears of each datum whose code begins, from outside of the server. */
class Begins implements AsyncDisposable {
  readonly #server = createServer((socket) => {
    let text = ''
    socket.on('data', (bytes) => (text += bytes.toString()))
    socket.on('error', () => undefined)
    socket.on('close', () => this.counts.set(text.trim(), this.countOf(text.trim()) + 1))
  })
  readonly counts: Map<string, number> = new Map()

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    // The cast: it listens on a port.
    return (this.#server.address() as AddressInfo).port
  }

  countOf(datum: string): number {
    return this.counts.get(datum) ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** The datums that the server says have a result. */
async function recorded(client: TestClient): Promise<readonly string[]> {
  const found: string[] = []
  for (const pipeline of pipelines) {
    const [job] = await jobsOf(client, pipeline)
    if (job?.job === undefined) continue
    const { datumInfo } = await client.pps.listDatum({ job: job.job })
    for (const { datum, state } of datumInfo) {
      if (state === DatumState.SUCCESS) found.push(datum?.id ?? '')
    }
  }
  return found
}

test('a server that is killed while 100 jobs run loses nothing and repeats no recorded datum', async () => {
  await using directory = await TemporaryDirectory.create()
  await using begins = new Begins()
  const port = await begins.listen()
  const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
  const code = [
    `echo "$PACH_DATUM_ID" > /dev/tcp/127.0.0.1/${port}`,
    'for f in $PFS/in/*; do tr a-z A-Z < $f > $PFS/out/${f##*/}; cat $f >> $PFS/out/all; done',
    'sleep 0.2',
  ]
  let commit = ''
  {
    await using pachd = new ChildPachd(args)
    await using client = new TestClient(await pachd.ready)
    await client.pfs.createRepo({ repo: { name: 'in' } })
    for (const name of pipelines) {
      await client.pps.createPipeline({
        pipeline: { name },
        transform: { cmd: ['bash', '-e'], stdin: code },
        parallelismSpec: { constant: 1n },
        input: atomOf('in', '/*', 'in'),
      })
    }
    commit = await commitFiles(client, { repo: 'in', branch: 'master' }, files)
    const { jobInfo } = await client.pps.listJob({})
    expect(jobInfo, 'acknowledged with the commit').toHaveLength(pipelines.length)
  }
  /** How often the code of a recorded datum had begun when it was seen to be recorded. */
  const seen = new Map<string, number>()
  for (const count of lives) {
    await using pachd = new ChildPachd(args)
    await using client = new TestClient(await pachd.ready)
    const look = async (): Promise<number> => {
      for (const datum of await recorded(client)) {
        if (!seen.has(datum)) seen.set(datum, begins.countOf(datum))
      }
      return seen.size
    }
    await expect.poll(look, { timeout: lifeMsMax }).toBeGreaterThanOrEqual(seen.size + count)
  }
  await using pachd = new ChildPachd(args)
  await using client = new TestClient(await pachd.ready)
  await flush(client, 'in', commit)
  for (const [datum, count] of seen) {
    expect(begins.countOf(datum), `datum ${datum} was recorded`).toBe(count)
  }
  expect(seen.size, 'kills came in the middle').toBeLessThan(pipelines.length * 4)
  const upper = Object.entries(files).map(([name, text]) => [`/${name}`, text.toUpperCase()])
  const expected = { ...Object.fromEntries(upper), '/all': Object.values(files).join('') }
  for (const pipeline of pipelines) {
    const jobs = await jobsOf(client, pipeline)
    expect(jobs, `jobs of ${pipeline}`).toHaveLength(1)
    expect(jobs[0]).toMatchObject({
      state: JobState.JOB_SUCCESS,
      dataProcessed: 4n,
      dataSkipped: 0n,
      dataFailed: 0n,
      dataTotal: 4n,
    })
    expect(await outputOf(client, pipeline), `output of ${pipeline}`).toEqual(expected)
  }
})
