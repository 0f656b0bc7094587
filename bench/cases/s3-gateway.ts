import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { Radosgw, rgwCredentials } from '../../test/harness/radosgw.ts'
import type { Benchmark, Contender } from '../benchmark.ts'
import { runShell, timed } from '../processes.ts'
import { writeLargeFile } from '../seeded-files.ts'

const smallCount = 1000
const smallBytes = 4096
const atOnce = 16
const sizeMib = 256
const Bucket = 'master.bench'

const labels = {
  putSmall: `put ${smallCount} of ${smallBytes} bytes`,
  getSmall: `get ${smallCount} of ${smallBytes} bytes`,
  putLarge: `put ${sizeMib} MiB`,
  getLarge: `get ${sizeMib} MiB`,
} as const

/** One client, whichever server it asks. */
async function clientOf(endpoint: string): Promise<S3Client> {
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: rgwCredentials,
  })
  await client.send(new CreateBucketCommand({ Bucket }))
  return client
}

/** Does `work` for each index, some at once. */
async function forEachAtOnce(
  count: number,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      await work(index)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

async function get(client: S3Client, Key: string): Promise<void> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
  await Body?.transformToByteArray()
}

/** What is asked of a server: each round puts what was never there, and gets it. */
function contendersOf(server: string, client: S3Client, input: string): readonly Contender[] {
  const small = (round: number, index: number): Buffer =>
    Buffer.alloc(smallBytes, `${server} ${round} ${index} `)
  return [
    {
      label: `${server}: ${labels.putSmall}`,
      run: (round) =>
        timed(() =>
          forEachAtOnce(smallCount, (index) =>
            client.send(
              new PutObjectCommand({
                Bucket,
                Key: `${round}/${index}`,
                Body: small(round, index),
              }),
            ),
          ),
        ),
    },
    {
      label: `${server}: ${labels.getSmall}`,
      run: (round) =>
        timed(() => forEachAtOnce(smallCount, (index) => get(client, `${round}/${index}`))),
    },
    {
      label: `${server}: ${labels.putLarge}`,
      run: async (round) => {
        await writeLargeFile(input, sizeMib, round)
        const Body = await readFile(input)
        return timed(() =>
          client.send(new PutObjectCommand({ Bucket, Key: `large-${round}`, Body })),
        )
      },
    },
    {
      label: `${server}: ${labels.getLarge}`,
      run: (round) => timed(() => get(client, `large-${round}`)),
    },
  ]
}

export const s3Gateway: Benchmark = {
  name: 's3-gateway',
  title: `small objects, ${atOnce} at once, and one of ${sizeMib} MiB, by Amazon's client`,
  unit: 'ms',
  roundsMax: 3,
  prepare: async ({ directory, startPachd, use, say }) => {
    const pachd = await startPachd()
    const input = join(directory, 'input')
    const ours = await clientOf(`http://127.0.0.1:${pachd.s3Port}`)
    const contenders = [...contendersOf('pachd', ours, input)]
    const disk = `cp and fsync of ${sizeMib} MiB`
    contenders.push({
      label: disk,
      run: () => runShell('cp input copy && sync copy && rm copy', directory),
    })
    const comparisons = [{ ours: `pachd: ${labels.putLarge}`, baseline: disk }]
    if (!Radosgw.isInstalled) {
      say('radosgw is not installed: there is no other S3 to compare with')
      return { contenders, comparisons }
    }
    // It keeps objects in memory, and so has no disk to wait for.
    const name = 'radosgw in memory'
    const gateway = use(await Radosgw.start())
    contenders.push(...contendersOf(name, await clientOf(gateway.endpoint), input))
    comparisons.push(
      ...Object.values(labels).map((label) => ({
        ours: `pachd: ${label}`,
        baseline: `${name}: ${label}`,
      })),
    )
    return { contenders, comparisons }
  },
}
