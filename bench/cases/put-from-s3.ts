import { createWriteStream } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { isOnPath } from '../../test/harness/child-program.ts'
import { Radosgw, rgwCredentials } from '../../test/harness/radosgw.ts'
import type { Benchmark, Contender } from '../benchmark.ts'
import { runShell, timed } from '../processes.ts'
import { writeLargeFile } from '../seeded-files.ts'

/** The other store has half a GiB of memory, and does not give back at once what is deleted. */
const sizeMib = 128
const roundsMax = 3
const Bucket = 'bucket'

const ours = 'pachctl put-file -f s3://'
const amazons = "Amazon's client to disk, fsync"
const rclone = 'rclone copyto disk, fsync'

export const putFromS3: Benchmark = {
  name: 'put-from-s3',
  title: `an object of ${sizeMib} MiB from S3 (radosgw, in memory)`,
  unit: 'ms',
  roundsMax,
  prepare: async ({ directory, startPachd, use, say, noteClientMemory }) => {
    if (!Radosgw.isInstalled) {
      say('radosgw is not installed: there is no S3 to put from')
      return { contenders: [], comparisons: [] }
    }
    const gateway = use(await Radosgw.start())
    const client = gateway.client()
    use({ [Symbol.asyncDispose]: async () => client.destroy() })
    const pachd = await startPachd({ environment: gateway.variables })
    await pachd.pfs.createRepo({ repo: { name: 'here' } })
    const input = join(directory, 'input')
    const copy = join(directory, 'copy')
    const contenders: Contender[] = [
      {
        label: ours,
        run: async (round) => {
          // New contents each round: equal ones would be stored once only.
          await writeLargeFile(input, sizeMib, round)
          const Body = await readFile(input)
          await client.send(new PutObjectCommand({ Bucket, Key: `${round}`, Body }))
          const source = ['-f', `s3://${Bucket}/${round}`]
          const put = await pachd.pachctl('put-file', 'here', 'master', `${round}`, '-c', ...source)
          noteClientMemory(put.peakMib)
          return put.ms
        },
      },
      {
        label: amazons,
        run: async (round) => {
          const ms = await timed(async () => {
            const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: `${round}` }))
            await pipeline(Body as Readable, createWriteStream(copy, { flush: true }))
          })
          await rm(copy)
          return ms
        },
      },
    ]
    if (isOnPath('rclone')) {
      const { accessKeyId, secretAccessKey } = rgwCredentials
      const remote = `:s3,provider=Ceph,endpoint='${gateway.endpoint}',access_key_id=${accessKeyId},secret_access_key=${secretAccessKey}:${Bucket}`
      contenders.push({
        label: rclone,
        run: async (round) => {
          const ms = await runShell(
            `env -u AWS_CA_BUNDLE rclone copyto "${remote}/${round}" copy && sync copy`,
            directory,
          )
          await rm(copy)
          return ms
        },
      })
    } else say('rclone is not installed')
    const comparisons = contenders.slice(1).map(({ label }) => ({ ours, baseline: label }))
    return { contenders, comparisons }
  },
}
