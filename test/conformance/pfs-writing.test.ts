import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { Delimiter } from '../../src/gen/pfs_pb.ts'
import { freshRepo, refused } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, getPieces, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** A repo with an open commit at the head of `master`. */
async function openCommit(): Promise<{ readonly repo: string; readonly id: string }> {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return { repo, id }
}

async function* nothing(): AsyncGenerator<never> {
  // Ends at once.
}

async function finish(repo: string, id: string): Promise<void> {
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
}

async function remove(repo: string, path: string): Promise<void> {
  await pachd.pfs.deleteFile({ file: fileOf(repo, 'master', path) })
}

async function pathsIn(repo: string, path = '/'): Promise<readonly (string | undefined)[]> {
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'master', path) })
  return fileInfo.map(({ file }) => file?.path)
}

describe('put-file', () => {
  test('a put appends: to earlier puts, and to what the parent has', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: 'one ' })
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await putFile(pachd, fileOf(repo, id, 'a'), 'two ')
    await putFile(pachd, fileOf(repo, 'master', '/a'), 'three')
    expect(await getText(pachd, fileOf(repo, 'master', 'a'))).toBe('one two three')
    await finish(repo, id)
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('one two three')
  })

  test('with overwrite it replaces', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: 'old' })
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await putFile(pachd, fileOf(repo, id, 'a'), 'lost')
    await putFile(pachd, fileOf(repo, id, 'a'), 'new', { overwrite: true })
    await finish(repo, id)
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('new')
  })

  test('of a stream, the first message says where, and all of them what', async () => {
    const { repo, id } = await openCommit()
    async function* requests() {
      await Promise.resolve()
      yield { file: fileOf(repo, id, 'a'), value: Buffer.from('one ') }
      yield { file: fileOf(repo, id, 'b'), value: Buffer.from('two '), overwrite: true }
      yield {}
      const url = 'http://127.0.0.1:1/nobody-listens'
      const split = { delimiter: Delimiter.LINE, targetFileDatums: 1n, targetFileBytes: 1n }
      yield { value: Buffer.from('three'), url, recursive: true, ...split }
    }
    await pachd.pfs.putFile(requests())
    expect(await pathsIn(repo)).toEqual(['/a'])
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('one two three')
  })

  test('a stream without a message is fine and does nothing', async () => {
    await expect(pachd.pfs.putFile(nothing())).resolves.toBeDefined()
  })

  test('an empty put makes an empty file, which is sent in no message', async () => {
    const { repo, id } = await openCommit()
    await putFile(pachd, fileOf(repo, id, 'empty'), '')
    expect(await getPieces(pachd, fileOf(repo, id, 'empty'))).toEqual([])
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'empty') })
    expect(info.sizeBytes).toBe(0n)
  })

  test('directories on the way are made', async () => {
    const { repo, id } = await openCommit()
    await putFile(pachd, fileOf(repo, id, 'd/e/f'), 'x')
    expect(await pathsIn(repo)).toEqual(['/d'])
    expect(await pathsIn(repo, '/d')).toEqual(['/d/e'])
    expect(await pathsIn(repo, 'd/e')).toEqual(['d/e/f'])
  })

  test('paths are cleaned', async () => {
    const { repo, id } = await openCommit()
    await putFile(pachd, fileOf(repo, id, './d//e/../f/'), 'x')
    expect(await getText(pachd, fileOf(repo, id, '/d/f'))).toBe('x')
  })

  test('a large file comes back byte for byte in pieces of at most 2 MiB', async () => {
    const { repo, id } = await openCommit()
    const bytes = Buffer.alloc(23 * 1024 * 1024)
    for (let index = 0; index < bytes.length; index += 4) {
      bytes.writeUInt32LE(Math.imul(index, 2_654_435_761) >>> 0, index)
    }
    const pieces = [bytes.subarray(0, 10_000_000), bytes.subarray(10_000_000)]
    await putFile(pachd, fileOf(repo, id, 'large'), pieces)
    await finish(repo, id)
    const read = await getPieces(pachd, fileOf(repo, id, 'large'))
    expect(Math.max(...read.map((piece) => piece.length))).toBeLessThanOrEqual(2 * 1024 * 1024)
    expect(Buffer.concat(read).equals(bytes)).toBe(true)
  })

  test('only open commits take it', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    for (const name of [id, 'master']) {
      await expect(putFile(pachd, fileOf(repo, name, 'b'), 'x')).rejects.toEqual(
        refused('failed-precondition', `commit ${id} is not open`),
      )
    }
    expect(await pathsIn(repo)).toEqual(['/a'])
  })

  test('an unknown repo, branch or commit is not found', async () => {
    const { repo } = await openCommit()
    for (const file of [
      fileOf('nowhere', 'master', 'a'),
      fileOf(repo, 'nobody', 'a'),
      fileOf(repo, '0'.repeat(32), 'a'),
    ]) {
      await expect(putFile(pachd, file, 'x')).rejects.toEqual(refused('not-found', 'not found'))
    }
    await expect(putFile(pachd, fileOf(repo, 'nobody', 'a'), 'x')).rejects.toEqual(
      refused('not-found', `start-commit ${repo} nobody opens a commit on a new branch`),
    )
  })

  test('a caller that goes away in the middle has written nothing', async () => {
    const { repo, id } = await openCommit()
    const caller = new AbortController()
    async function* requests() {
      yield { file: fileOf(repo, id, 'a'), value: Buffer.alloc(1024) }
      await Promise.resolve()
      yield { value: Buffer.alloc(1024) }
      caller.abort()
      await new Promise<never>(() => undefined)
    }
    const call = pachd.pfs.putFile(requests(), { signal: caller.signal })
    await expect(call).rejects.toMatchObject({ code: Code.cancelled })
    await finish(repo, id)
    expect(await pathsIn(repo)).toEqual([])
  })

  test('what ends first comes first, whichever began', async () => {
    const { repo, id } = await openCommit()
    async function* slow() {
      yield { file: fileOf(repo, id, 'a'), value: Buffer.from('began first') }
      await putFile(pachd, fileOf(repo, id, 'a'), 'ended first, ')
    }
    await pachd.pfs.putFile(slow())
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('ended first, began first')
  })

  test('a commit that finishes while a file comes does not have it', async () => {
    const { repo, id } = await openCommit()
    async function* late() {
      yield { file: fileOf(repo, id, 'a'), value: Buffer.from('too') }
      await finish(repo, id)
      yield { value: Buffer.from(' late') }
    }
    await expect(pachd.pfs.putFile(late())).rejects.toEqual(
      refused('failed-precondition', `commit ${id} is not open`),
    )
    expect(await pathsIn(repo)).toEqual([])
  })

  test('a refusal is told in its own words, however much is on its way', async () => {
    const repo = await freshRepo(pachd)
    const pieces = Array.from({ length: 24 }, () => Buffer.alloc(1024 * 1024))
    await expect(putFile(pachd, fileOf(repo, 'nobody', 'a'), pieces)).rejects.toEqual(
      refused('not-found', `pachyderm_pfs/commits/${repo}/ nobody not found`),
    )
  })

  test('a hundred puts at once are all there', async () => {
    const { repo, id } = await openCommit()
    const names = Array.from({ length: 100 }, (_, index) => `f${String(index).padStart(3, '0')}`)
    await Promise.all(names.map((name) => putFile(pachd, fileOf(repo, id, name), name)))
    await finish(repo, id)
    expect(await pathsIn(repo, '')).toEqual(names)
    expect(await getText(pachd, fileOf(repo, id, 'f042'))).toBe('f042')
  })
})

describe('a file where a directory is', () => {
  const conflicts = [
    {
      what: 'a file onto a directory',
      paths: ['d/f', 'd'],
      text: 'could not put file at "/d"; a node of type directory is already there',
      repair: 'd',
    },
    { what: 'a file below a file', paths: ['d', 'd/f'], text: 'not a directory', repair: 'd' },
  ] as const

  test.each(conflicts)(
    '$what is taken, but finish refuses; deleting repairs it',
    async ({ paths, text, repair }) => {
      const { repo, id } = await openCommit()
      await putFile(pachd, fileOf(repo, id, 'other'), 'x')
      for (const path of paths) await putFile(pachd, fileOf(repo, id, path), path)
      await expect(finish(repo, id)).rejects.toEqual(refused('failed-precondition', text))
      expect(await getText(pachd, fileOf(repo, id, 'other'))).toBe('x')
      await remove(repo, repair)
      await finish(repo, id)
      expect(await pathsIn(repo)).toEqual(['/other'])
    },
  )
})

describe('delete-file', () => {
  test('a file, also one from the parent; later puts start afresh', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: 'old', b: 'kept' })
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await remove(repo, 'a')
    expect(await pathsIn(repo)).toEqual(['/b'])
    await putFile(pachd, fileOf(repo, id, 'a'), 'new')
    await finish(repo, id)
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('new')
  })

  test('a directory with all in it; an emptied directory stays', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { 'd/e/f': '1', 'd/g': '2', 'h/i': '3' })
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await remove(repo, 'd/e')
    await remove(repo, 'h/i')
    await finish(repo, id)
    expect(await pathsIn(repo, '/d')).toEqual(['/d/g'])
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'h') })
    expect([info.sizeBytes, info.children]).toEqual([0n, []])
  })

  test('a path that is not there is no error', async () => {
    const { repo, id } = await openCommit()
    await remove(repo, 'nothing/here')
    await finish(repo, id)
    expect(await pathsIn(repo)).toEqual([])
  })

  test('the root: everything', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1', 'd/b': '2' })
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await remove(repo, '/')
    await finish(repo, id)
    expect(await pathsIn(repo)).toEqual([])
  })

  test('a finished commit has already finished', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await expect(remove(repo, 'a')).rejects.toEqual(
      refused('failed-precondition', `${id} has already finished`),
    )
    expect(await pathsIn(repo)).toEqual(['/a'])
  })
})
