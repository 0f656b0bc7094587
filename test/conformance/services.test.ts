import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concatBytes } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { DiffKind } from '../../src/gen/pachyderm_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { failed, freshName, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

interface Piece {
  readonly value?: Uint8Array
  readonly tags?: readonly string[]
}

async function putObject(...pieces: readonly Piece[]): Promise<string> {
  async function* requests() {
    await Promise.resolve()
    for (const { value, tags = [] } of pieces) {
      yield { ...(value !== undefined && { value }), tags: tags.map((name) => ({ name })) }
    }
  }
  return (await pachd.objects.putObject(requests())).hash
}

async function textOf(pieces: AsyncIterable<{ readonly value: Uint8Array }>): Promise<string> {
  const values = (await collect(pieces)).map(({ value }) => value)
  return Buffer.from(concatBytes(values)).toString()
}

async function tagsFrom(prefix: string): Promise<readonly string[]> {
  return (await collect(pachd.objects.listTags({ prefix }))).map(({ tag }) => tag)
}

describe('pfs.ObjectAPI', () => {
  test('an object is named by its content, and tags of all messages name it', async () => {
    const [one, two] = [freshName('tag'), freshName('tag')]
    const hash = await putObject(
      { value: Buffer.from('he'), tags: [one] },
      { value: Buffer.from('llo'), tags: [two] },
    )
    expect(hash).toMatch(/^[0-9a-f]{64}$/)
    expect(await putObject({ value: Buffer.from('hello') })).toBe(hash)
    expect(await textOf(pachd.objects.getObject({ hash }))).toBe('hello')
    expect(await textOf(pachd.objects.getTag({ name: one }))).toBe('hello')
    expect(await textOf(pachd.objects.getTag({ name: two }))).toBe('hello')
    const info = await pachd.objects.inspectTag({ name: two })
    expect(info).toMatchObject({ object: { hash }, blockRef: { range: { lower: 0n, upper: 5n } } })
    expect(await pachd.objects.inspectObject({ hash })).toEqual(info)
  })

  test.each([
    ['empty', ''],
    ['inline', 'short'],
    ['one chunk', 'more than what rides in a directory '.repeat(100)],
    ['a list of chunks', Array.from({ length: 400_000 }, (_, index) => `${index} `).join('')],
  ])('the object of a file can be fetched: %s', async (_kind, text) => {
    const { objects, pfs } = pachd
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: text, b: text })
    const info = await pfs.inspectFile({ file: fileOf(repo, 'master', 'a') })
    const other = await pfs.inspectFile({ file: fileOf(repo, 'master', 'b') })
    const hash = info.objects[0]?.hash ?? ''
    expect(hash).toMatch(/^[0-9a-f]+$/)
    expect(other.objects[0]?.hash).toBe(hash)
    expect(hash.startsWith(await putObject({ value: Buffer.from(text) }))).toBe(true)
    expect((await textOf(objects.getObject({ hash }))) === text).toBe(true)
    expect((await textOf(objects.getObjects({ objects: [{ hash }] }))) === text).toBe(true)
    expect((await objects.checkObject({ object: { hash } })).exists).toBe(true)
    expect(await objects.inspectObject({ hash })).toMatchObject({
      blockRef: { range: { lower: 0n, upper: BigInt(text.length) } },
    })
    const listed = async (): Promise<readonly string[]> =>
      (await collect(objects.listObjects({}))).map((object) => object.hash)
    expect(await listed()).not.toContain(hash)
    const name = freshName('tag')
    await objects.tagObject({ object: { hash }, tags: [{ name }] })
    expect((await textOf(objects.getTag({ name }))) === text).toBe(true)
    expect(await listed()).toContain(hash)
  })

  test('a name that was made up is not found', async () => {
    const { objects } = pachd
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: repo, b: repo.repeat(9) })
    const { objects: named } = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'b') })
    const real = named[0]?.hash ?? ''
    for (const hash of [
      `${real}00`,
      real.slice(0, -2),
      real.replace(/..$/, '7f'),
      `${'0'.repeat(64)}${real.slice(64)}`,
      `${'ab'.repeat(32)}0101${'ab'.repeat(32)}6f`,
    ]) {
      expect((await objects.checkObject({ object: { hash } })).exists).toBe(false)
      const missing = refused('not-found', `object ${hash} not found`)
      await expect(collect(objects.getObject({ hash }))).rejects.toEqual(missing)
    }
  })

  test('several objects are read as one, from an offset, up to a size', async () => {
    const texts = ['one ', 'two ', 'three']
    const objects: { readonly hash: string }[] = []
    for (const text of texts) objects.push({ hash: await putObject({ value: Buffer.from(text) }) })
    const read = async (offset: number, size: number): Promise<string> => {
      const range = { offsetBytes: BigInt(offset), sizeBytes: BigInt(size) }
      return textOf(pachd.objects.getObjects({ objects, ...range }))
    }
    expect(await read(0, 0)).toBe('one two three')
    expect(await read(2, 4)).toBe('e tw')
    expect(await read(8, 100)).toBe('three')
    expect(await read(100, 0)).toBe('')
  })

  test('a tag moves; tagging needs the object', async () => {
    const name = freshName('tag')
    const [first, second] = [await putObject({ value: Buffer.from('1') }), await putObject({})]
    await pachd.objects.tagObject({ object: { hash: first }, tags: [{ name }] })
    await pachd.objects.tagObject({ object: { hash: second }, tags: [{ name }] })
    expect(await textOf(pachd.objects.getTag({ name }))).toBe('')
    const call = pachd.objects.tagObject({ object: { hash: 'ab' }, tags: [{ name }] })
    await expect(call).rejects.toEqual(refused('not-found', 'object ab not found'))
  })

  test('check, get and inspect of what is not there', async () => {
    const { objects } = pachd
    expect((await objects.checkObject({ object: { hash: 'ab' } })).exists).toBe(false)
    const hash = await putObject({ value: Buffer.from('here') })
    expect((await objects.checkObject({ object: { hash } })).exists).toBe(true)
    const missing = refused('not-found', 'not found')
    await expect(collect(objects.getObject({ hash: 'ab' }))).rejects.toEqual(missing)
    await expect(collect(objects.getTag({ name: 'nobody' }))).rejects.toEqual(missing)
    await expect(objects.inspectTag({ name: 'nobody' })).rejects.toEqual(missing)
    await expect(objects.inspectObject({ hash: 'ab' })).rejects.toEqual(missing)
  })

  test('a put takes over a tag; a stream without a message is the empty object', async () => {
    const name = freshName('tag')
    const first = await putObject({ value: Buffer.from('1'), tags: [name] })
    const second = await putObject({ value: Buffer.from('2'), tags: [name, name] })
    expect((await pachd.objects.inspectTag({ name })).object?.hash).toBe(second)
    expect(await textOf(pachd.objects.getObject({ hash: first }))).toBe('1')
    expect(await putObject()).toBe(await putObject({ value: Buffer.of() }))
  })

  test('pieces have at most 2 MiB; what is empty comes in no message', async () => {
    const { objects } = pachd
    const name = freshName('tag')
    const value = Buffer.alloc(5_000_000, 'pieces ')
    const hash = await putObject({ value, tags: [name] })
    const empty = await putObject({})
    for (const read of [objects.getObject({ hash }), objects.getTag({ name })]) {
      const pieces = (await collect(read)).map((piece) => piece.value)
      expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(2 * 1024 * 1024)
      expect(value.equals(concatBytes(pieces))).toBe(true)
    }
    expect(await collect(objects.getObject({ hash: empty }))).toEqual([])
    expect(await collect(objects.getObjects({}))).toEqual([])
  })

  test('a prefix of tags is taken letter by letter', async () => {
    const start = freshName('Tag')
    const names = ['%', '_', 'x', 'X', '\u{10ffff}', '\u{ffff}'].map((end) => `${start}${end}/t`)
    await putObject({ value: Buffer.from(start), tags: names })
    for (const name of names) expect(await tagsFrom(name.slice(0, -2))).toEqual([name])
    expect((await tagsFrom(start)).toSorted()).toEqual(names.toSorted())
    expect(await tagsFrom(start.toLowerCase())).toEqual([])
  })

  test('lists and deletes', async () => {
    const { objects } = pachd
    const prefix = freshName('list')
    const value = Buffer.from(prefix)
    const hash = await putObject({ value, tags: [`${prefix}/b`, `${prefix}/a`] })
    const listed = await collect(objects.listTags({ prefix, includeObject: true }))
    expect(listed.map(({ tag, object }) => [tag, object?.hash])).toEqual([
      [`${prefix}/a`, undefined],
      [`${prefix}/a`, hash],
      [`${prefix}/b`, undefined],
      [`${prefix}/b`, hash],
    ])
    expect((await collect(objects.listObjects({}))).map((object) => object.hash)).toContain(hash)
    await objects.deleteTags({ tags: [`${prefix}/a`, 'nobody'] })
    expect(await collect(objects.listTags({ prefix }))).toMatchObject([{ tag: `${prefix}/b` }])
    await objects.deleteObjects({ objects: [{ hash }, { hash: 'ab' }] })
    expect(await collect(objects.listTags({ prefix }))).toEqual([])
    expect((await objects.checkObject({ object: { hash } })).exists).toBe(false)
    await objects.compact({})
  })
})

async function openCommit(): Promise<{ readonly repo: string; readonly id: string }> {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return { repo, id }
}

describe('pachyderm.Files', () => {
  test('many files, some over several messages, with one acknowledgement', async () => {
    const { repo, id } = await openCommit()
    async function* requests() {
      await Promise.resolve()
      const parts = [
        { path: 'd/a', value: Buffer.from('one') },
        { path: 'b', value: Buffer.from('tw'), more: true },
      ]
      yield { commit: commitOf(repo, id), parts }
      yield { parts: [{ path: 'b', value: Buffer.from('o, '), more: true }] }
      yield { parts: [{ path: 'b', value: Buffer.from('yes') }, { path: 'empty' }] }
    }
    expect(await pachd.files.putFiles(requests())).toMatchObject({ files: 3n, bytes: 11n })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    expect(await getText(pachd, fileOf(repo, id, 'd/a'))).toBe('one')
    expect(await getText(pachd, fileOf(repo, id, 'b'))).toBe('two, yes')
    expect(await getText(pachd, fileOf(repo, id, 'empty'))).toBe('')
  })

  test('a file where a directory is: nothing is written, and the code is rich', async () => {
    const { repo, id } = await openCommit()
    await putFile(pachd, fileOf(repo, id, 'd/f'), 'x')
    async function* requests() {
      await Promise.resolve()
      yield { commit: commitOf(repo, id), parts: [{ path: 'new' }, { path: 'd' }] }
    }
    await expect(pachd.files.putFiles(requests())).rejects.toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', 'node of type directory'),
    )
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '') })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(['d'])
  })

  test('a file that is announced to go on, but does not, is refused whole', async () => {
    const { repo, id } = await openCommit()
    async function* requests() {
      await Promise.resolve()
      yield { commit: commitOf(repo, id), parts: [{ path: 'a', more: true }, { path: 'b' }] }
    }
    await expect(pachd.files.putFiles(requests())).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'goes on with another file'),
    )
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '') })
    expect(fileInfo).toEqual([])
  })

  test('differences say their kind', async () => {
    const { repo, id } = await openCommit()
    await putFile(pachd, fileOf(repo, id, 'gone'), '1')
    await putFile(pachd, fileOf(repo, id, 'kept'), '2')
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    const { id: next } = await pachd.pfs.startCommit({ parent: commitOf(repo, id) })
    await pachd.pfs.deleteFile({ file: fileOf(repo, next, 'gone') })
    await putFile(pachd, fileOf(repo, next, 'kept'), '3')
    await putFile(pachd, fileOf(repo, next, 'new'), '4')
    const batches = await collect(pachd.files.diffFiles({ newFile: fileOf(repo, next, '/') }))
    const kinds = batches.flatMap(({ diffs }) =>
      diffs.map((diff) => [diff.kind, diff.newFile?.file?.path ?? diff.oldFile?.file?.path]),
    )
    expect(kinds).toEqual([
      [DiffKind.REMOVED, '/gone'],
      [DiffKind.CHANGED, '/kept'],
      [DiffKind.ADDED, '/new'],
    ])
  })
})

describe('the server itself', () => {
  test('it is healthy', async () => {
    await expect(pachd.health.health({})).resolves.toBeDefined()
  })

  test('a token of a client of 1.5 is passed over, be it empty or not', async () => {
    const repo = await freshRepo(pachd)
    for (const token of ['', 'somebody']) {
      const options = { metadata: { 'authn-token': token } }
      const info = await pachd.pfs.inspectRepo({ repo: { name: repo } }, options)
      expect(info.repo?.name).toBe(repo)
    }
  })

  test('its version is that of the contract, with its own release beside it', async () => {
    const version = await pachd.version.getVersion({})
    expect(version).toMatchObject({ major: 1, minor: 5, micro: 3, additional: 'ts-0.0.0-test' })
    const info = await pachd.admin.inspectServer({})
    expect(info.version).toBe('0.0.0-test')
    expect(info.uptime).toBeDefined()
  })

  test('every call about access says that access control is off', async () => {
    const off = refused('failed-precondition', 'the auth service is not activated')
    const { auth } = pachd
    for (const call of [
      () => auth.activate({}),
      () => auth.authenticate({}),
      () => auth.authorize({}),
      () => auth.whoAmI({}),
      () => auth.getScope({}),
      () => auth.setScope({}),
      () => auth.getACL({}),
      () => auth.setACL({}),
      () => auth.getCapability({}),
      () => auth.revokeAuthToken({}),
    ]) {
      await expect(call()).rejects.toEqual(off)
    }
  })

  test('a call that no service has is unimplemented', async () => {
    const call = pachd.transport.unary('/deploy.API/CreateCluster', new Uint8Array())
    await expect(call).rejects.toMatchObject({ code: Code.unimplemented })
  })
})

test('what was acknowledged is there when the server starts again', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const large = Buffer.alloc(3_000_000, 'large ')
  let commits: readonly string[] = []
  {
    await using first = await TestPachd.start({ root })
    await first.pfs.createRepo({ repo: { name: 'r' } })
    const id = await commitFiles(first, { repo: 'r', branch: 'master' }, { a: 'kept' })
    const { id: open } = await first.pfs.startCommit({ parent: commitOf('r', ''), branch: 'next' })
    await putFile(first, fileOf('r', open, 'staged'), 'kept, too')
    await putFile(first, fileOf('r', open, 'large'), [large])
    commits = [id, open]
  }
  await using second = await TestPachd.start({ root })
  const [id = '', open = ''] = commits
  expect(await getText(second, fileOf('r', id, 'a'))).toBe('kept')
  expect(await getText(second, fileOf('r', 'next', 'staged'))).toBe('kept, too')
  await second.pfs.finishCommit({ commit: commitOf('r', open) })
  expect(await getText(second, fileOf('r', open, 'large'))).toBe(large.toString())
})
