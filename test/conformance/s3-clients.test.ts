import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { isOnPath, runProgram } from '../harness/child-program.ts'
import { freshName } from '../harness/expectations.ts'
import { s3Keys, S3World } from '../harness/s3-client.ts'

const oddName = `b c+%é"&'<.txt`
const files: Readonly<Record<string, Uint8Array | string>> = {
  'a.txt': 'text\n',
  'empty.txt': '',
  // Sent in parts.
  big: seededBytes(5, 12 * 1024 * 1024),
  [`sub/${oddName}`]: 'odd',
}
const keys = Object.keys(files).toSorted()

let world: S3World
let directory: TemporaryDirectory
beforeAll(async () => {
  world = await S3World.start()
  directory = await TemporaryDirectory.create()
  await mkdir(directory.join('tree/sub'), { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    await writeFile(directory.join(`tree/${name}`), content)
  }
  const endpoint = `127.0.0.1:${world.pachd.s3Port}`
  const { accessKey, secretKey } = s3Keys
  await writeFile(
    directory.join('rclone.conf'),
    `[pach]
type = s3
provider = Other
access_key_id = ${accessKey}
secret_access_key = ${secretKey}
endpoint = http://${endpoint}
`,
  )
  await writeFile(
    directory.join('s3cfg'),
    `[default]
access_key = ${accessKey}
secret_key = ${secretKey}
host_base = ${endpoint}
host_bucket = ${endpoint}
use_https = False
`,
  )
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

/** Runs a client with its configuration, and nothing from around it. */
async function run(name: string, ...args: readonly string[]): Promise<string> {
  const config = name === 'rclone' ? ['--config', 'rclone.conf'] : ['-c', 's3cfg', '--no-progress']
  const environment = { AWS_CA_BUNDLE: undefined, AWS_PROFILE: undefined }
  return runProgram(name, [...config, ...args], { directory: directory.path, environment })
}

async function rclone(...args: readonly string[]): Promise<string> {
  return run('rclone', ...args)
}

async function s3cmd(...args: readonly string[]): Promise<string> {
  return run('s3cmd', ...args)
}

async function requireSameFiles(at: string): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const found = await readFile(directory.join(`${at}/${name}`))
    expect([name, Buffer.compare(found, Buffer.from(content))]).toEqual([name, 0])
  }
}

describe.skipIf(!peersRequired && !isOnPath('rclone'))('rclone', () => {
  const parts = ['--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M']

  test('copies a tree there and back, in parts, and checks it', async () => {
    const bucket = `master.${freshName('rclone')}`
    await rclone('mkdir', `pach:${bucket}`)
    await rclone('copy', 'tree', `pach:${bucket}`, ...parts)
    expect((await world.keys(bucket)).toSorted()).toEqual(keys)
    expect(await rclone('check', '--download', 'tree', `pach:${bucket}`)).toContain('0 differences')
    await rclone('copy', `pach:${bucket}`, 'from-rclone')
    await requireSameFiles('from-rclone')
    // By size alone: the times of files are not kept.
    const again = await rclone('sync', '-v', '--size-only', 'tree', `pach:${bucket}`)
    expect(again).not.toContain('Copied')
  })

  test('copies, moves, links and deletes', async () => {
    const bucket = `master.${freshName('rclone')}`
    await rclone('mkdir', `pach:${bucket}`)
    await rclone('copy', 'tree', `pach:${bucket}`)
    await rclone('copyto', `pach:${bucket}/big`, `pach:${bucket}/copied`)
    await rclone('moveto', `pach:${bucket}/sub/${oddName}`, `pach:${bucket}/moved`)
    expect(await world.keys(bucket)).toEqual(['a.txt', 'big', 'copied', 'empty.txt', 'moved'])
    expect(await world.get(bucket, 'moved')).toBe('odd')
    const url = (await rclone('link', '--expire', '1h', `pach:${bucket}/a.txt`)).trim()
    expect(await (await fetch(url)).text()).toBe('text\n')
    expect((await fetch(url.replace('a.txt', 'big'))).status).toBe(403)
    await rclone('purge', `pach:${bucket}`)
    expect(await rclone('lsd', 'pach:')).not.toContain(bucket)
  })
})

describe.skipIf(!peersRequired && !isOnPath('s3cmd'))('s3cmd', () => {
  test('makes URLs of a version that is refused, which says what makes others', async () => {
    const bucket = `master.${freshName('s3cmd')}`
    await s3cmd('mb', `s3://${bucket}`)
    const url = (await s3cmd('signurl', `s3://${bucket}/a`, '+600')).trim()
    const answer = await fetch(url)
    expect([answer.status, await answer.text()]).toEqual([
      400,
      expect.stringContaining('signature_version s3v4; make them with that, or with rclone link'),
    ])
  })

  test('puts a tree, in parts, and gets it back', async () => {
    const bucket = `s3://master.${freshName('s3cmd')}`
    await s3cmd('mb', bucket)
    await s3cmd('sync', '--multipart-chunk-size-mb=5', 'tree/', `${bucket}/`)
    expect((await world.keys(bucket.slice(5))).toSorted()).toEqual(keys)
    const listed = await s3cmd('ls', bucket)
    expect(listed).toContain(`DIR  ${bucket}/sub/`)
    expect(await s3cmd('info', `${bucket}/big`)).toContain('12582912')
    await mkdir(directory.join('from-s3cmd'))
    await s3cmd('get', '--recursive', `${bucket}/`, 'from-s3cmd/')
    await requireSameFiles('from-s3cmd')
  })

  test('copies, moves and deletes, buckets too', async () => {
    const bucket = `s3://master.${freshName('s3cmd')}`
    await s3cmd('mb', bucket)
    await s3cmd('put', 'tree/a.txt', `${bucket}/dir/`)
    await s3cmd('cp', `${bucket}/dir/a.txt`, `${bucket}/copied`)
    await s3cmd('mv', `${bucket}/copied`, `${bucket}/moved`)
    expect(await world.keys(bucket.slice(5))).toEqual(['dir/a.txt', 'moved'])
    await expect(s3cmd('rb', bucket)).rejects.toThrow('BucketNotEmpty')
    await s3cmd('del', '--recursive', '--force', bucket)
    await s3cmd('rb', bucket)
    expect(await s3cmd('ls')).not.toContain(bucket)
    await expect(s3cmd('get', `${bucket}/none`, 'none')).rejects.toThrow('does not exist')
  })
})
