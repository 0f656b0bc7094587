import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concatBytes } from '../../src/base/bytes.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { freshName, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function putObject(bytes: Uint8Array): Promise<string> {
  async function* requests() {
    await Promise.resolve()
    for (let at = 0; at < bytes.length; at += 1_000_000) {
      yield { value: bytes.subarray(at, at + 1_000_000) }
    }
  }
  return (await pachd.objects.putObject(requests())).hash
}

async function getObject(hash: string): Promise<Buffer> {
  const pieces = await collect(pachd.objects.getObject({ hash }))
  return Buffer.from(concatBytes(pieces.map(({ value }) => value)))
}

async function treeOf(repo: string, id: string): Promise<string> {
  const { tree } = await pachd.pfs.inspectCommit({ commit: commitOf(repo, id) })
  return tree?.hash ?? ''
}

async function build(hash: string): Promise<{ readonly repo: string; readonly id: string }> {
  const repo = await freshRepo(pachd)
  const parent = commitOf(repo, '')
  const { id } = await pachd.pfs.buildCommit({ parent, tree: { hash }, branch: 'master' })
  return { repo, id }
}

// Written by hand after the definition of 1.5, with no code in common with the server's.
function field(number: number, value: Buffer): Buffer {
  const size: number[] = []
  for (let rest = value.length; ; rest >>>= 7) {
    size.push(rest < 128 ? rest : (rest & 127) | 128)
    if (rest < 128) break
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...size]), value])
}

function node(key: string, rest: Buffer): Buffer {
  const baseName = Buffer.from(key.split('/').at(-1) ?? '')
  // Of the root it is empty, and left out.
  const name = baseName.length === 0 ? baseName : field(1, baseName)
  const entry = [field(1, Buffer.from(key)), field(2, Buffer.concat([name, rest]))]
  return field(2, Buffer.concat(entry))
}

function file(key: string, hashes: readonly string[]): Buffer {
  const objects = hashes.map((hash) => field(4, field(1, Buffer.from(hash))))
  return node(key, field(4, Buffer.concat(objects)))
}

function directory(key: string, children: readonly string[]): Buffer {
  return node(key, field(5, Buffer.concat(children.map((child) => field(3, Buffer.from(child))))))
}

const version1 = Buffer.from([8, 1])

describe('the tree of a commit as an object', () => {
  test('is the message of 1.5, and builds the same commit again', async () => {
    const repo = await freshRepo(pachd)
    const long = 'not inline, and not one chunk either '.repeat(60_000)
    const files = { a: 'one', 'd/e/b': 'two '.repeat(100), 'd/long': long, 'd/é': '' }
    const id = await commitFiles(pachd, { repo, branch: 'master' }, files)
    const name = await treeOf(repo, id)
    expect((await pachd.objects.checkObject({ object: { hash: name } })).exists).toBe(true)
    const message = await getObject(name)
    const { blockRef } = await pachd.objects.inspectObject({ hash: name })
    expect(blockRef?.range).toMatchObject({ lower: 0n, upper: BigInt(message.length) })

    const object = await putObject(message)
    expect(object).not.toBe(name)
    const built = await build(object)
    expect(await treeOf(built.repo, built.id)).toBe(name)
    expect((await getText(pachd, fileOf(built.repo, built.id, 'd/long'))) === long).toBe(true)
    const again = await build(name)
    expect(await treeOf(again.repo, again.id)).toBe(name)
  })

  test('is, byte by byte, what 1.5 defines', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { 'd/f': 'x' })
    const { pfs } = pachd
    const info = async (
      path: string,
    ): Promise<{ readonly hash: Buffer; readonly object: string }> => {
      const found = await pfs.inspectFile({ file: fileOf(repo, id, path) })
      return { hash: Buffer.from(found.hash), object: found.objects[0]?.hash ?? '' }
    }
    const sized = (key: string, hash: Buffer, kind: Buffer): Buffer =>
      node(key, Buffer.concat([field(2, hash), Buffer.from([0x18, 1]), kind]))
    const [root, d, f] = [await info('/'), await info('d'), await info('d/f')]
    const expected = Buffer.concat([
      version1,
      sized('', root.hash, field(5, field(3, Buffer.from('d')))),
      sized('/d', d.hash, field(5, field(3, Buffer.from('f')))),
      sized('/d/f', f.hash, field(4, field(4, field(1, Buffer.from(f.object))))),
    ])
    const message = await getObject(await treeOf(repo, id))
    expect(message.toString('hex')).toBe(expected.toString('hex'))
  })

  test('parts of it are read like those of any object, and a tag keeps it', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: repo, b: 'b'.repeat(500) })
    const name = await treeOf(repo, id)
    const message = await getObject(name)
    const read = async (offset: number, size: number): Promise<string> => {
      const range = { offsetBytes: BigInt(offset), sizeBytes: BigInt(size) }
      const objects = [{ hash: name }, { hash: await putObject(Buffer.from('tail')) }]
      const pieces = await collect(pachd.objects.getObjects({ objects, ...range }))
      return Buffer.from(concatBytes(pieces.map(({ value }) => value))).toString('latin1')
    }
    const whole = `${message.toString('latin1')}tail`
    expect(await read(0, 0)).toBe(whole)
    expect(await read(7, 20)).toBe(whole.slice(7, 27))
    expect(await read(message.length + 1, 2)).toBe('ai')
    const tag = freshName('tag')
    await pachd.objects.tagObject({ object: { hash: name }, tags: [{ name: tag }] })
    await pachd.pfs.deleteRepo({ repo: { name: repo } })
    await collect(pachd.admin.collectGarbage({}))
    const pieces = await collect(pachd.objects.getTag({ name: tag }))
    expect(Buffer.from(concatBytes(pieces.map(({ value }) => value))).equals(message)).toBe(true)
  })
})

describe('a commit from a tree message', () => {
  test('joins the objects of a file, in any order of paths, and keeps empty directories', async () => {
    const [one, two] = [await putObject(Buffer.from('one ')), await putObject(Buffer.from('two'))]
    const message = Buffer.concat([
      file('/d/f', [one, two]),
      directory('/empty', []),
      file('/a', [two]),
      directory('', ['a', 'd', 'empty']),
      directory('/d', ['f']),
      file('/nothing', []),
      version1,
    ])
    const { repo, id } = await build(await putObject(message))
    expect(await getText(pachd, fileOf(repo, id, 'd/f'))).toBe('one two')
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('two')
    expect(await getText(pachd, fileOf(repo, id, 'nothing'))).toBe('')
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
    expect(fileInfo.map(({ file: found }) => found?.path)).toEqual([
      '/a',
      '/d',
      '/empty',
      '/nothing',
    ])
    // The objects may go: the commit has their contents.
    await pachd.objects.deleteObjects({ objects: [{ hash: one }, { hash: two }] })
    await pachd.pps.garbageCollect({})
    expect(await getText(pachd, fileOf(repo, id, 'd/f'))).toBe('one two')
  })

  test.each([
    ['nothing at all', async () => Buffer.alloc(0), 'version 0'],
    ['another version', async () => Buffer.from([8, 2]), 'a tree message of version 2'],
    ['text', async () => Buffer.from('this is no tree'), 'malformed message'],
    ['cut short', async () => Buffer.from([8, 1, 0x12, 9, 1]), 'malformed message'],
    ['a path that leads out', async () => Buffer.concat([version1, file('/../x', [])]), '../x'],
    [
      'an object that is nowhere',
      async () => Buffer.concat([version1, file('/a', ['ab'.repeat(32)])]),
      `object ${'ab'.repeat(32)} not found`,
    ],
    [
      'a file in a file',
      async () => Buffer.concat([version1, file('/a', []), file('/a/b', [])]),
      'could not put file',
    ],
  ])('%s is refused, and nothing is made', async (_what, messageOf, text) => {
    const repo = await freshRepo(pachd)
    const hash = await putObject(await messageOf())
    const call = pachd.pfs.buildCommit({ parent: commitOf(repo, ''), tree: { hash } })
    await expect(call).rejects.toMatchObject({ message: expect.stringContaining(text) as string })
    expect((await pachd.pfs.listCommit({ repo: { name: repo } })).commitInfo).toEqual([])
  })

  test('a name of nothing is said to be no tree', async () => {
    const repo = await freshRepo(pachd)
    const tree = { hash: 'ab'.repeat(32) }
    const call = pachd.pfs.buildCommit({ parent: commitOf(repo, ''), tree })
    await expect(call).rejects.toEqual(refused('not-found', /tree (ab)+ not found/))
  })
})
