import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { PassThrough, Writable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { service } from '../../api/grpc/service.ts'
import { concatBytes, utf8Text } from '../../base/bytes.ts'
import { SystemClock } from '../../base/clock.ts'
import {
  decodePutFileRequest,
  decodePutFilesRequest,
  type SplitFields,
} from '../../base/content-messages.ts'
import { Files } from '../../gen/pachyderm_pb.ts'
import { API } from '../../gen/pfs_pb.ts'
import { GrpcFixture } from '../../testing/grpc-fixture.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { Flags } from '../flags.ts'
import { Input } from '../input.ts'
import { ActiveTransaction } from '../active-transaction.ts'
import { LazyTransport } from '../lazy-transport.ts'
import { Output } from '../../base/output.ts'
import { splitFlags } from './split-flags.ts'
import { targetsOf } from './targets.ts'
import { upload } from './upload.ts'

const fixture = new GrpcFixture()
const sizes: Readonly<Record<string, number>> = {
  empty: 0,
  small: 10,
  'sub/most': 1024 * 1024 - 1,
  'sub/slab': 1024 * 1024,
  'sub/deep/large': 3 * 1024 * 1024 + 1,
}

afterEach(async () => fixture.close())

function nowhere(): Output {
  return new Output(new Writable({ write: (_bytes, _encoding, done) => done() }))
}

interface Sent {
  readonly port: number
  readonly source: string
  readonly split?: SplitFields
  readonly path?: string
  readonly input?: () => AsyncIterable<Uint8Array>
}

function noInput(): never {
  throw new Error('no need for standard input')
}

/** Returns what is said on standard error. */
async function send({
  port,
  source,
  path = 'target',
  input = noInput,
  split,
}: Sent): Promise<string> {
  const told = new PassThrough()
  const address = `127.0.0.1:${port}`
  await using transport = new LazyTransport(address, new SystemClock())
  const context = {
    args: [],
    flags: new Flags(new Map()),
    input: new Input(input),
    out: nowhere(),
    err: new Output(told),
    clock: new SystemClock(),
    address,
    transport,
    environment: {},
    activeTransaction: new ActiveTransaction({}, address),
    upgradeStore: () => expect.fail('no need for a store'),
  }
  await upload(context, {
    repo: 'data',
    commit: 'master',
    targets: targetsOf([source], path).local,
    isRecursive: true,
    overwrite: true,
    split,
    parallelism: 3,
  })
  const text: unknown = told.read()
  return text instanceof Buffer ? text.toString() : ''
}

async function makeDirectory(): Promise<TemporaryDirectory> {
  const directory = await TemporaryDirectory.create()
  await mkdir(directory.join('sub/deep'), { recursive: true })
  for (const [name, size] of Object.entries(sizes)) {
    await writeFile(directory.join(name), name.padEnd(size, 'x').slice(0, size))
  }
  return directory
}

const expected = new Map(
  Object.entries(sizes).map(([name, size]) => [
    `target/${name}`,
    name.padEnd(size, 'x').slice(0, size),
  ]),
)

test('a directory goes in one call, every file whole', async () => {
  await using directory = await makeDirectory()
  const got = new Map<string, string>()
  let messageCount = 0
  const files = service(Files, {
    putFiles: {
      async sliced(requests) {
        for await (const message of requests) {
          messageCount += 1
          for (const { path, value } of decodePutFilesRequest(await message.parts()).parts) {
            got.set(path, (got.get(path) ?? '') + utf8Text(concatBytes(value)))
          }
        }
        return {}
      },
    },
  })
  await send({ port: await fixture.serve(files), source: directory.path })
  expect(got).toEqual(expected)
  expect(messageCount).toBeLessThan(10)
})

test('a server of 1.5 gets a call for each file, so many at once as was asked for', async () => {
  await using directory = await makeDirectory()
  const got = new Map<string, string>()
  let running = 0
  let most = 0
  const pfs = service(API, {
    putFile: {
      async sliced(requests) {
        running += 1
        most = Math.max(most, running)
        let name = ''
        const values: Uint8Array[] = []
        for await (const message of requests) {
          const { file, value, overwrite } = decodePutFileRequest(await message.parts())
          if (file !== undefined) name = `${file.path}${overwrite ? '' : ' appended'}`
          values.push(concatBytes(value))
        }
        got.set(name, utf8Text(concatBytes(values)))
        running -= 1
        return {}
      },
    },
  })
  await send({ port: await fixture.serve(pfs), source: directory.path })
  expect(got).toEqual(expected)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(3)
})

function namesTo(names: string[]): ReturnType<typeof service> {
  return service(Files, {
    putFiles: {
      async sliced(requests) {
        for await (const message of requests) {
          const { parts } = decodePutFilesRequest(await message.parts())
          for (const { path, more } of parts) if (!more) names.push(path)
        }
        return {}
      },
    },
  })
}

/** What `--split` and its flags say. */
function splitBy(format: string, counts: Readonly<Record<string, string>> = {}): SplitFields {
  const names = ['target-file-datums', 'target-file-bytes', 'header-records', 'footer-records']
  const values = names.map((name) => [name, [counts[name] ?? '0']] as const)
  const split = splitFlags(new Flags(new Map([['split', [format]], ...values])))
  if (split === undefined) throw new Error('there is a split')
  return split
}

test('how to split goes ahead of all files', async () => {
  await using directory = await makeDirectory()
  const splits: unknown[] = []
  const files = service(Files, {
    putFiles: {
      async sliced(requests) {
        for await (const message of requests) {
          splits.push(decodePutFilesRequest(await message.parts()).split)
        }
        return {}
      },
    },
  })
  const split = splitBy('csv', { 'header-records': '1', 'target-file-bytes': '1000' })
  const port = await fixture.serve(files)
  for (const source of [directory.path, directory.join('small')]) {
    splits.length = 0
    await send({ port, source, split })
    expect(splits[0]).toEqual({
      delimiter: 4,
      targetFileDatums: 0n,
      targetFileBytes: 1000n,
      headerRecords: 1n,
      footerRecords: 0n,
    })
    expect(splits.slice(1).filter((each) => each !== undefined)).toEqual([])
  }
})

test('a server of 1.5 splits each file by line or json, and is not asked for more', async () => {
  await using directory = await makeDirectory()
  const got: unknown[] = []
  const pfs = service(API, {
    putFile: {
      async sliced(requests) {
        for await (const message of requests) {
          const fields = decodePutFileRequest(await message.parts())
          if (fields.file !== undefined) got.push([fields.delimiter, fields.targetFileDatums])
        }
        return {}
      },
    },
  })
  const port = await fixture.serve(pfs)
  for (const source of [directory.path, directory.join('small')]) {
    got.length = 0
    await send({ port, source, split: splitBy('json', { 'target-file-datums': '3' }) })
    expect(got).toEqual(got.map(() => [1, 3n]))
    expect(got.length).toBeGreaterThan(0)
    got.length = 0
    for (const split of [
      splitBy('csv'),
      splitBy('sql'),
      splitBy('line', { 'header-records': '1' }),
    ]) {
      await expect(send({ port, source, split })).rejects.toThrow('splits by line and json only')
    }
    expect(got).toEqual([])
  }
})

test('names that are not UTF-8 are left out and told; U+FFFD may be part of a name', async () => {
  await using directory = await TemporaryDirectory.create()
  const bytes = (name: string): Buffer => Buffer.from(directory.join(name), 'latin1')
  await mkdir(bytes('sub\xff'))
  await writeFile(bytes('sub\xff/inner'), 'lost')
  await writeFile(bytes('b\xff\xfe'), 'lost')
  await writeFile(directory.join('b\ufffd'), 'kept')
  await writeFile(directory.join('good'), 'kept')
  const names: string[] = []
  const told = await send({ port: await fixture.serve(namesTo(names)), source: directory.path })
  expect(names.toSorted()).toEqual(['target/b\ufffd', 'target/good'])
  expect(told.split('\n').toSorted()).toEqual([
    '',
    `left out: ${directory.join('b\\xff\\xfe')} is a name that is not UTF-8`,
    `left out: ${directory.join('sub\\xff')} is a name that is not UTF-8`,
  ])
})

test.each([10, 1024 * 1024 + 1])(
  'standard input of %i bytes goes whole to a server that refuses it in one call',
  async (size) => {
    const content = 'x'.repeat(size)
    let got = ''
    const pfs = service(API, {
      putFile: {
        async sliced(requests) {
          for await (const message of requests) {
            got += utf8Text(concatBytes(decodePutFileRequest(await message.parts()).value))
          }
          return {}
        },
      },
    })
    async function* input(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < size; at += 50_000) {
        await setImmediate()
        yield Buffer.from(content.slice(at, at + 50_000))
      }
    }
    await send({ port: await fixture.serve(pfs), source: '-', path: 'q', input })
    expect(got).toBe(content)
  },
)

test('links to no file are left out and told; links to files are those files', async () => {
  await using directory = await makeDirectory()
  await symlink('/nowhere-at-all', directory.join('dangling'))
  await symlink('sub', directory.join('around'))
  await symlink('sub', directory.join('sub', 'deep', 'up'))
  const [first = ''] = Object.keys(sizes)
  await symlink(directory.join(first), directory.join('linked'))
  const names: string[] = []
  const port = await fixture.serve(namesTo(names))
  const told = await send({ port, source: directory.path })
  expect(names.toSorted()).toEqual([...expected.keys(), 'target/linked'].toSorted())
  const at = (name: string): string => directory.join(name)
  expect(told.split('\n').toSorted()).toEqual([
    '',
    `left out: ${at('around')} is a link to a directory`,
    `left out: ${at('dangling')} is a link to nothing`,
    `left out: ${at('sub/deep/up')} is a link to nothing`,
  ])
})

function paths(sources: readonly string[], path?: string): string[] {
  return targetsOf(sources, path).local.map((target) => target.path)
}

test('own names are paths of the source as typed, joined below the path for several', () => {
  expect(paths(['/data/x'])).toEqual(['data/x'])
  expect(paths(['./d/'])).toEqual(['d'])
  expect(paths(['.'])).toEqual([''])
  expect(paths(['x'], 'q')).toEqual(['q'])
  expect(paths(['x', './y/z'], 'q')).toEqual(['q/x', 'q/y/z'])
  expect(() => paths(['x'], '../x')).toThrow('leads out of the root')
  expect(() => paths(['-'])).toThrow('no filename specified')
  expect(() => paths(['hdfs://host/key'])).toThrow('unrecognized object store: hdfs')
})

function remote(...sources: readonly string[]): unknown {
  return targetsOf(sources, 'q').remote
}

test('URLs are told from local paths, and add their own names where no path is given', async () => {
  await using directory = await TemporaryDirectory.create()
  expect(remote('s3://bucket/key')).toEqual([
    { url: 's3://bucket/key', path: 'q', addsOwnName: false },
  ])
  expect(targetsOf(['https://host/a'], undefined).remote).toEqual([
    { url: 'https://host/a', path: '', addsOwnName: true },
  ])
  expect(remote('pfs://host/repo/master', 'old:650/repo/master', 'x')).toEqual([
    { url: 'pfs://host/repo/master', path: 'q', addsOwnName: true },
    { url: 'old:650/repo/master', path: 'q', addsOwnName: true },
  ])
  // A file that is there is a file, whatever it looks like.
  await mkdir(directory.join('old:650/repo'), { recursive: true })
  await writeFile(directory.join('old:650/repo/master'), '')
  expect(targetsOf([directory.join('old:650/repo/master')], 'q').remote).toEqual([])
})
