// What a real server of 1.4 answered about some repos, asked of ours about the same repos.

import { readFileSync } from 'node:fs'
import {
  type DescMethod,
  fromBinary,
  fromJson,
  isMessage,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import { BytesValueSchema } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { RpcError } from '../../src/client/rpc-error.ts'
import { API, FileInfosSchema } from '../../src/gen/pfs_pb.ts'
import { commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

interface RecordedRead {
  readonly label: string
  readonly method: string
  /** Messages in base64. */
  readonly request: string
  readonly responses: readonly string[]
  readonly grpcStatus: number
  readonly grpcMessage: string
}

const recorded = readFileSync(
  new URL('../fixtures/wire/reads-1.4.0.jsonl', import.meta.url),
  'utf8',
)
const reads = recorded
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as RecordedRead)

/** Their ids, by what we call the commits. */
const recordedIds = {
  first: 'dc5b4840698d401dbefdfe78718ea9ca',
  second: '26b4d6b3ba9d474db35ad848c675542f',
  third: 'd588641a094745c89379a59a00155440',
  dev: '78afa473ec064a8cb315fa47d630ee2a',
  open: '5e0349cd42e64598bced956a77c3dea4',
  child: 'cd683ae3c60a47028da41063f544f5cc',
} as const

type CommitRole = keyof typeof recordedIds

let pachd: TestPachd
let ids: Readonly<Record<CommitRole, string>>

const legacy = 'legacy'
const firstFiles = {
  'big/rows.txt': 'r'.repeat(4_515_224),
  'bytes.bin': 'b'.repeat(307_200),
  'dir/one.txt': 'one\n',
  'dir/sub/deep/three.txt': 'three\n',
  'dir/two.txt': 'two\n',
  'empty.file': '',
  'naïve/файл-日本語.txt': 'unicode\n',
  'top.txt': 'top line\n',
  'with space.txt': 'space\n',
} as const

beforeAll(async () => {
  pachd = await TestPachd.start()
  const { pfs } = pachd
  const master = { repo: legacy, branch: 'master' }
  await pfs.createRepo({ repo: { name: legacy } })
  await pfs.createRepo({ repo: { name: 'bare' } })
  const first = await commitFiles(pachd, master, firstFiles)
  const second = await commitFiles(pachd, master, {
    'top.txt': 'appended\n',
    'second.txt': 'second\n',
  })
  const { id: third } = await pfs.startCommit({
    parent: commitOf(legacy, second),
    branch: 'master',
  })
  await pfs.deleteFile({ file: fileOf(legacy, third, 'dir/two.txt') })
  await pfs.finishCommit({ commit: commitOf(legacy, third) })
  const { id: dev } = await pfs.startCommit({ parent: commitOf(legacy, first), branch: 'dev' })
  await putFile(pachd, fileOf(legacy, dev, 'dev.txt'), 'dev\n')
  await pfs.finishCommit({ commit: commitOf(legacy, dev) })
  const { id: open } = await pfs.startCommit({ parent: commitOf(legacy, second), branch: 'wip' })
  await putFile(pachd, fileOf(legacy, open, 'unfinished.txt'), 'unfinished\n')
  await pfs.createRepo({ repo: { name: 'child' }, provenance: [{ name: legacy }] })
  const { id: child } = await pfs.startCommit({
    parent: commitOf('child', ''),
    branch: 'master',
    provenance: [commitOf(legacy, third)],
  })
  await putFile(pachd, fileOf('child', child, 'out'), 'derived\n')
  await pfs.finishCommit({ commit: commitOf('child', child) })
  ids = { first, second, third, dev, open, child }
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** Where we mean to differ: what we answer instead. */
const differences: Readonly<Record<string, string>> = {
  // A missing repo is said to be what is missing.
  'inspect commit in missing repo': 'pachyderm_pfs/repos/ nope not found',
  'inspect file in missing repo': 'pachyderm_pfs/repos/ nope not found',
  'list files in missing repo': 'pachyderm_pfs/repos/ nope not found',
  'get from missing repo': 'pachyderm_pfs/repos/ nope not found',
  'inspect commit empty id': 'a commit id or branch name is needed',
  // 1.4 gave the first of two puts for this.
  'get negative size': 'size_bytes cannot be -1',
  'get directory': '/dir is a directory',
}
/** 1.5 reads open commits. */
const open = /open commit/

const described = Object.values(API.method)

/** A method whose path is `path`. */
function methodOf(path: string): DescMethod {
  const found = described.find((method) => path === `/pfs.API/${method.name}`)
  if (found === undefined) throw new Error(`no method ${path}`)
  return found
}

/** Changes every commit id in a message, or in JSON, as `to` says. */
function renamed(
  text: string,
  to: (role: CommitRole) => string,
  from: Readonly<Record<CommitRole, string>>,
): string {
  let changed = text
  for (const role of Object.keys(recordedIds) as CommitRole[]) {
    changed = changed.replaceAll(from[role], to(role))
  }
  return changed
}

/** Hashes are names that mean something to their server only; times are when they are. */
const maskedFields: ReadonlySet<string> = new Set(['hash', 'created', 'started', 'finished'])

/** Where the pieces of a content begin and end says nothing. */
function valueOf(message: Uint8Array): Uint8Array {
  return fromBinary(BytesValueSchema, message).value
}

/** 1.4 answers globs in any order. */
function sorted(method: DescMethod, message: Message): JsonValue {
  if (isMessage(message, FileInfosSchema) && method.name === 'GlobFile') {
    message.fileInfo.sort((a, b) => ((a.file?.path ?? '') < (b.file?.path ?? '') ? -1 : 1))
  }
  return toJson(method.output, message)
}

function answerText(method: DescMethod, messages: readonly Uint8Array[], from: typeof ids): string {
  if (method.name === 'GetFile') return Buffer.concat(messages.map(valueOf)).toString('base64')
  const isList = ['ListFile', 'GlobFile'].includes(method.name)
  const isRepo = ['ListRepo', 'InspectRepo'].includes(method.name)
  const json = messages.map((bytes) => sorted(method, fromBinary(method.output, bytes)))
  const text = JSON.stringify(json, (key, value: unknown) => {
    // 1.5 no longer tells what is in the directories of a list, and names the objects of a file.
    if ((isList && key === 'children') || key === 'objects') return undefined
    // It counts the size of a repo otherwise.
    if (isRepo && key === 'sizeBytes') return undefined
    return maskedFields.has(key) ? 'masked' : value
  })
  return renamed(text, (role) => role, from)
}

/** Our answer: messages, or the text of an error. */
async function ask(
  method: DescMethod,
  request: Uint8Array,
): Promise<readonly Uint8Array[] | string> {
  const path = `/pfs.API/${method.name}`
  try {
    if (method.methodKind === 'unary') return [await pachd.transport.unary(path, request)]
    const messages: Uint8Array[] = []
    for await (const message of pachd.transport.serverStream(path, request)) {
      messages.push(await message.bytes())
    }
    return messages
  } catch (error) {
    if (!(error instanceof RpcError) || error.code !== Code.unknown) throw error
    return error.message
  }
}

function requestFor({ request }: RecordedRead, method: DescMethod): Uint8Array {
  const json = JSON.stringify(
    toJson(method.input, fromBinary(method.input, Buffer.from(request, 'base64'))),
  )
  const ours = JSON.parse(renamed(json, (role) => ids[role], recordedIds)) as never
  return toBinary(method.input, fromJson(method.input, ours))
}

const isOfOpenCommit = ({ grpcMessage }: RecordedRead): boolean => open.test(grpcMessage)

test.each(reads.filter((read) => !(read.label in differences) && !isOfOpenCommit(read)))(
  '$method, as 1.4 answers it: $label',
  async (read) => {
    const method = methodOf(read.method)
    const answer = await ask(method, requestFor(read, method))
    const theirs = read.responses.map((message) => Buffer.from(message, 'base64'))
    const [ours, expected] =
      typeof answer === 'string'
        ? [answer, read.grpcMessage]
        : [answerText(method, answer, ids), answerText(method, theirs, recordedIds)]
    expect(ours).toContain(expected)
    expect(typeof answer === 'string').toBe(read.grpcStatus !== 0)
  },
)

test.each(reads.filter(({ label }) => label in differences))(
  '$method, with a reason to answer otherwise: $label',
  async (read) => {
    const method = methodOf(read.method)
    expect(await ask(method, requestFor(read, method))).toContain(differences[read.label])
  },
)

test.each(reads.filter(isOfOpenCommit))('$method, as 1.5 answers it: $label', async (read) => {
  const method = methodOf(read.method)
  expect(await ask(method, requestFor(read, method))).toBeInstanceOf(Array)
})
