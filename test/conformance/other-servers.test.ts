import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { service } from '../../src/api/grpc/service.ts'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { type GetFilesPartFields, GetFilesWriter } from '../../src/base/download-messages.ts'
import { NotFoundError } from '../../src/base/errors.ts'
import { Files } from '../../src/gen/pachyderm_pb.ts'
import { API, FileType } from '../../src/gen/pfs_pb.ts'
import { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import type { PachctlRun } from '../golden/pachctl-run.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'

const fixture = new GrpcFixture()
const commit = { repo: 'r', id: '174af38ec01b44dfb8ddfef28ec35df4' }
const commitMessage = { repo: { name: commit.repo }, id: commit.id }

let home: TemporaryDirectory
beforeEach(async () => {
  home = await TemporaryDirectory.create()
})
afterEach(async () => {
  await fixture.close()
  await home[Symbol.asyncDispose]()
})

async function pachctl(port: number, ...args: readonly string[]): Promise<PachctlRun> {
  return pachctlHere(args, { port, home: home.path })
}

/** Stores the whole commit below `out`. */
async function getTree(port: number): Promise<PachctlRun> {
  return pachctl(port, 'get-file', 'r', 'master', '/', '-r', '-o', home.join('out'))
}

type Part = Partial<GetFilesPartFields> & { readonly path: string }

const root: Part = { path: '', fileType: FileType.DIR }

function file(path: string, content: string, more: Partial<GetFilesPartFields> = {}): Part {
  const value = [utf8(content)]
  return { path, fileType: FileType.FILE, sizeBytes: content.length, value, ...more }
}

/** A server that sends what a test tells it to, whatever it is asked. */
async function serve(...parts: readonly Part[]): Promise<number> {
  const plain = {
    value: [],
    more: false,
    fileType: 0,
    sizeBytes: 0,
    hash: new Uint8Array(32),
    fileCount: 0,
  }
  const files = service(Files, {
    getFiles: {
      async *encoded({ recursive }) {
        const writer = new GetFilesWriter(commit)
        // What is at the path is asked for first.
        for (const part of recursive ? parts : [root]) writer.add({ ...plain, ...part })
        yield await Promise.resolve(concatBytes(writer.take()))
      },
    },
  })
  const pfs = service(API, { inspectCommit: async () => ({ commit: commitMessage }) })
  return fixture.serve(files, pfs)
}

describe('a server that sends strange things', () => {
  test.each(['/../evil', '/d/../../evil', '/.', '/d//x', '/a\0b'])(
    'has %j stored nowhere',
    async (path) => {
      const port = await serve(root, file(path, 'evil'), file('/good', 'good'))
      const { code, err } = await getTree(port)
      expect(code).toBe(1)
      expect(err).toContain('is no file name here')
      expect(readdirSync(home.join('out'))).toEqual(['good'])
      expect(existsSync(home.join('evil'))).toBe(false)
    },
  )

  test.each([
    ['a path that was not asked for', [root, file('evil', 'x')], 'which was not asked for'],
    ['less than it announced', [root, file('/a', 'abc', { sizeBytes: 4 })], 'sent 3 bytes of /a'],
    ['more than it announced', [root, file('/a', 'abc', { sizeBytes: 2 })], 'which has 2'],
    ['half a file', [root, file('/a', 'abc', { more: true })], 'stopped in the middle of a'],
    [
      'another file in the middle of one',
      [root, file('/a', 'abc', { more: true }), file('/b', 'x')],
      'went on with /b in the middle of a',
    ],
    ['a size that cannot be', [root, file('/a', 'abc', { sizeBytes: 2 ** 52 })], 'sent 3 bytes'],
  ] as const)('that sends %s is not believed', async (_what, parts, text) => {
    const port = await serve(...parts)
    const { code, err } = await getTree(port)
    expect([code, err]).toEqual([1, expect.stringContaining(text)])
    expect(readdirSync(home.join('out'))).toEqual([])
  })

  test('is told by its name when a name is strange, and the terminal is not told to do anything', async () => {
    const port = await serve(root, file(`/${'\u001b[2J'.repeat(100)}`, 'x'))
    const { err } = await getTree(port)
    expect(err).toContain('not stored: \\x1b[2J')
    expect(err).not.toContain('\u001b')
  })

  test('cannot put a path that leads out into an archive', async () => {
    const port = await serve(root, file('/../evil', 'x'))
    const { code, err } = await pachctl(port, 'get-file', 'r', 'master', '/', '--tar')
    expect([code, err]).toEqual([1, expect.stringContaining('is no file name here')])
  })
})

const old: Readonly<Record<string, string>> = { '/a': 'first', '/d/b': 'second', '/d/e/c': '' }

/** A server of 1.5, as far as reading goes. */
async function serveOld(names: Readonly<Record<string, string>> = old): Promise<number> {
  const infoOf = (path: string) => ({
    file: { commit: commitMessage, path },
    fileType: path in names ? FileType.FILE : FileType.DIR,
    sizeBytes: BigInt(names[path]?.length ?? 0),
  })
  const pfs = service(API, {
    inspectFile: async ({ file: asked }) => infoOf(asked?.path === '/' ? '' : (asked?.path ?? '')),
    async listFile({ file: asked }) {
      const above = (asked?.path ?? '').replace(/\/$/, '')
      const below = Object.keys(names).filter((path) => path.startsWith(`${above}/`))
      const children = below.map((path) => path.slice(above.length + 1).split('/')[0] ?? '')
      return { fileInfo: [...new Set(children)].map((name) => infoOf(`${above}/${name}`)) }
    },
    async *getFile({ file: asked }) {
      const content = names[asked?.path ?? '']
      if (content === undefined) throw new NotFoundError(`file ${asked?.path} not found`)
      if (content !== '') yield await Promise.resolve({ value: utf8(content) })
    },
  })
  return fixture.serve(pfs)
}

describe('a server of 1.5', () => {
  test('gives files and trees, one call for each file', async () => {
    const port = await serveOld()
    const printed = await pachctl(port, 'get-file', 'r', 'master', '/a')
    expect(printed).toEqual({ code: 0, out: 'first', err: '' })
    await pachctl(port, 'get-file', 'r', 'master', '/a', '-o', home.join('one'))
    expect(readFileSync(home.join('one'), 'utf8')).toBe('first')
    const tree = await pachctl(port, 'get-file', 'r', 'master', '/', '-r', '-o', home.join('out'))
    expect(tree).toEqual({ code: 0, out: '', err: '' })
    for (const [path, content] of Object.entries(old)) {
      expect(readFileSync(home.join('out', path), 'utf8')).toBe(content)
    }
    expect(readdirSync(home.join('out')).toSorted()).toEqual(['a', 'd'])
  })

  test.each([['--resume', '-o', 'x'], ['--verify', '-o', 'x'], ['--tar']])(
    'cannot do what %s needs, and that is said',
    async (flag, ...others) => {
      const port = await serveOld()
      const { code, err } = await pachctl(port, 'get-file', 'r', 'master', '/a', flag, ...others)
      expect([code, err]).toEqual([1, expect.stringContaining(`cannot do what ${flag} needs`)])
    },
  )

  test('cannot export, which is said', async () => {
    const port = await serveOld()
    const { code, err } = await pachctl(port, 'export', 'r', 'master', '/', 's3://bucket')
    expect([code, err]).toEqual([1, expect.stringContaining('the server cannot export')])
  })

  test('has a name with a star printed as it is', async () => {
    const port = await serveOld({ '/a*': 'starred' })
    const printed = await pachctl(port, 'get-file', 'r', 'master', '/a*')
    expect(printed).toMatchObject({ code: 0, out: 'starred' })
  })
})
