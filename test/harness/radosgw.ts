import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildProgram, freePort, isOnPath, runProgram, untilAnswering } from './child-program.ts'

/** Who may do everything in a `Radosgw`. */
export const rgwCredentials = { accessKeyId: 'AKIATEST', secretAccessKey: 'sekret' } as const

/**
 * Ceph's S3 gateway over a cluster of one in memory: a monitor, a daemon that keeps objects, the gateway.
 * It has a bucket that is named `bucket`.
 */
export class Radosgw implements AsyncDisposable {
  readonly endpoint: string
  readonly #opened: AsyncDisposableStack

  private constructor(endpoint: string, opened: AsyncDisposableStack) {
    this.endpoint = endpoint
    this.#opened = opened
  }

  /** Amazon's own client of it. */
  client(): S3Client {
    return new S3Client({
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: rgwCredentials,
      requestChecksumCalculation: 'WHEN_REQUIRED',
    })
  }

  /** What a program finds it by. */
  get variables(): Readonly<Record<string, string>> {
    return {
      AWS_ENDPOINT_URL: this.endpoint,
      AWS_ACCESS_KEY_ID: rgwCredentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: rgwCredentials.secretAccessKey,
    }
  }

  static get isInstalled(): boolean {
    return ['ceph-mon', 'ceph-osd', 'radosgw'].every(isOnPath)
  }

  static async start(): Promise<Radosgw> {
    await using opened = new AsyncDisposableStack()
    const directory = opened.use(await TemporaryDirectory.create())
    const [monPort, port] = [await freePort(), await freePort()]
    const at = { directory: directory.path }
    const fsid = randomUUID()
    await Promise.all(['mon', 'osd', 'rgw'].map((name) => mkdir(directory.join(name))))
    await writeFile(
      directory.join('ceph.conf'),
      configuration({ fsid, monPort, port, at: at.directory }),
    )
    await makeKeys(at)
    const monAddress = `[v2:127.0.0.1:${monPort}]`
    await runProgram(
      'monmaptool',
      ['--create', '--addv', 'a', monAddress, '--fsid', fsid, 'monmap'],
      at,
    )
    const conf = ['-c', 'ceph.conf']
    const monFiles = ['--monmap', 'monmap', '--keyring', 'keyring']
    await runProgram('ceph-mon', [...conf, '--mkfs', '-i', 'a', ...monFiles], at)
    opened.use(new ChildProgram('ceph-mon', [...conf, '-i', 'a', '-f'], at))
    const osd = randomUUID()
    await runProgram('ceph', [...conf, '--connect-timeout', '50', 'osd', 'new', osd], at)
    await runProgram('ceph-osd', [...conf, '--mkfs', '-i', '0', '--osd-uuid', osd], at)
    opened.use(new ChildProgram('ceph-osd', [...conf, '-i', '0', '-f'], at))
    const { accessKeyId, secretAccessKey } = rgwCredentials
    const user = ['--uid=test', '--display-name=test', `--access-key=${accessKeyId}`]
    await runProgram(
      'radosgw-admin',
      [...conf, 'user', 'create', ...user, `--secret=${secretAccessKey}`],
      at,
    )
    const gateway = opened.use(
      new ChildProgram('radosgw', [...conf, '-n', 'client.admin', '--rgw-data=rgw', '-f'], at),
    )
    const endpoint = `http://127.0.0.1:${port}`
    await untilAnswering(endpoint, gateway)
    const started = new Radosgw(endpoint, opened.move())
    await started.#makeBucket('bucket')
    return started
  }

  async #makeBucket(name: string): Promise<void> {
    const client = this.client()
    await client.send(new CreateBucketCommand({ Bucket: name }))
    client.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }
}

async function makeKeys(at: { readonly directory: string }): Promise<void> {
  const all = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *']
  for (const [name, ...caps] of [
    ['mon.', '--cap', 'mon', 'allow *'],
    ['client.admin', ...all],
    ['osd.0', '--cap', 'mon', 'allow profile osd', '--cap', 'osd', 'allow *'],
  ] as const) {
    const create = name === 'mon.' ? ['--create-keyring'] : []
    await runProgram('ceph-authtool', [...create, 'keyring', '--gen-key', '-n', name, ...caps], at)
  }
}

function configuration({
  fsid,
  monPort,
  port,
  at,
}: {
  readonly fsid: string
  readonly monPort: number
  readonly port: number
  readonly at: string
}): string {
  return `[global]
fsid = ${fsid}
mon host = v2:127.0.0.1:${monPort}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = ${at}/keyring
run dir = ${at}
log file = ${at}/$name.log
mon cluster log file = ${at}/cluster.log
mon data = ${at}/mon
mon data avail crit = 0
osd data = ${at}/osd
osd objectstore = memstore
memstore device bytes = 536870912
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
rgw frontends = beast endpoint=127.0.0.1:${port}
`
}
