import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { putFile } from '../../src/client/file-transfers.ts'
import { Radosgw } from '../../test/harness/radosgw.ts'
import type { Benchmark, Contender } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { runShell, timed } from '../processes.ts'
import { writeLargeFile } from '../seeded-files.ts'

/** What is kept twice in memory: by the gateway's daemon, and while it comes. */
const sizeMib = 32
const commitCount = 50
const Bucket = 'packs'
const repo = 'bench'

const places = { directory: 'directory', near: 'bucket', far: 'bucket, nothing kept near' } as const

const labels = {
  commits: `${commitCount} commits of one small file`,
  put: `put ${sizeMib} MiB`,
  get: `get ${sizeMib} MiB`,
} as const

function contendersOf(place: string, pachd: Pachd, input: string): readonly Contender[] {
  return [
    {
      label: `${place}: ${labels.commits}`,
      run: (round) => timed(() => smallCommits(pachd, round)),
    },
    {
      label: `${place}: ${labels.put}`,
      run: async (round) => {
        await writeLargeFile(input, sizeMib, round)
        const path = `/large-${round}`
        return (await pachd.pachctl('put-file', repo, 'large', path, '-c', '-f', input)).ms
      },
    },
    getFrom(place, pachd),
  ]
}

/** When all of it is where it is to be. */
function getFrom(place: string, pachd: Pachd): Contender {
  return {
    label: `${place}: ${labels.get}`,
    run: async (round) => {
      await untilUploaded(pachd)
      const line = `${pachd.clientLine} get-file ${repo} large /large-${round} >/dev/null`
      return await runShell(line, pachd.root)
    },
  }
}

async function smallCommits(pachd: Pachd, round: number): Promise<void> {
  for (let index = 0; index < commitCount; index += 1) {
    const commit = await pachd.startCommit(repo)
    const file = { commit: { repo, id: commit.id }, path: `/${index}` }
    const text = new TextEncoder().encode(`${round} ${index}`)
    await putFile(pachd.transport, file, only(text), { overwrite: true })
    await pachd.pfs.finishCommit({ commit })
  }
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Of a server whose packs stay in its directory, nothing is. */
async function untilUploaded({ root }: Pachd): Promise<void> {
  if (!(await readdir(root)).includes('bucket')) return
  for (;;) {
    const entries = await readdir(join(root, 'objects'), { recursive: true, withFileTypes: true })
    if (!entries.some((entry) => entry.isFile())) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export const packsInBucket: Benchmark = {
  name: 'packs-in-bucket',
  title: 'packs in a bucket of S3 on this machine, against packs in the directory',
  unit: 'ms',
  roundsMax: 3,
  prepare: async ({ directory, startPachd, use, say }) => {
    const input = join(directory, 'input')
    const plain = await startPachd()
    await plain.pfs.createRepo({ repo: { name: repo } })
    const contenders = [...contendersOf(places.directory, plain, input)]
    if (!Radosgw.isInstalled) {
      say('radosgw is not installed: there is no S3 to keep packs in')
      return { contenders, comparisons: [] }
    }
    const gateway = use(await Radosgw.start())
    const client = gateway.client()
    await client.send(new CreateBucketCommand({ Bucket }))
    client.destroy()
    for (const [place, cache] of [
      [places.near, '1GiB'],
      [places.far, '0'],
    ] as const) {
      const store = `s3://${Bucket}/cache-${cache}?endpoint=${gateway.endpoint}`
      const args = ['--store', store, '--store-cache', cache]
      const pachd = await startPachd({ args, environment: gateway.variables })
      await pachd.pfs.createRepo({ repo: { name: repo } })
      contenders.push(...contendersOf(place, pachd, input))
    }
    const pairs = [places.near, places.far].flatMap((place) =>
      Object.values(labels).map((label) => ({
        ours: `${place}: ${label}`,
        baseline: `${places.directory}: ${label}`,
      })),
    )
    return { contenders, comparisons: pairs }
  },
}
