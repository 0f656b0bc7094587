import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { DiffKind } from '../../src/gen/pachyderm_pb.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** A repo with commits on `master`, the newest first: `a` is `3`, `2` and `1`. */
async function line(): Promise<{ readonly repo: string; readonly ids: readonly string[] }> {
  const repo = await freshRepo(pachd)
  const ids: string[] = []
  for (const a of ['1', '2', '3']) {
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await putFile(pachd, fileOf(repo, id, 'a'), a, { overwrite: true })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    ids.unshift(id)
  }
  return { repo, ids }
}

async function idOf(repo: string, commit: string): Promise<string | undefined> {
  return (await pachd.pfs.inspectCommit({ commit: commitOf(repo, commit) })).commit?.id
}

describe('ancestry', () => {
  test('every call of 1.5 that takes a commit takes a name that goes back', async () => {
    const { repo, ids } = await line()
    const [newest = '', middle = '', oldest = ''] = ids
    expect(await idOf(repo, 'master^')).toBe(middle)
    expect(await idOf(repo, `${newest}~1^`)).toBe(oldest)
    expect(await getText(pachd, fileOf(repo, 'master~2', 'a'))).toBe('1')
    const file = fileOf(repo, 'master^', '/a')
    expect((await pachd.pfs.inspectFile({ file })).file?.commit?.id).toBe(middle)
    const listed = await pachd.pfs.listFile({ file: fileOf(repo, 'master^2', '/') })
    expect(listed.fileInfo[0]?.file?.commit?.id).toBe(oldest)
    const globbed = await pachd.pfs.globFile({ commit: commitOf(repo, 'master^'), pattern: '/*' })
    expect(globbed.fileInfo[0]?.file?.commit?.id).toBe(middle)
    const diff = await pachd.pfs.diffFile({
      newFile: fileOf(repo, 'master', '/'),
      oldFile: fileOf(repo, 'master~2', '/'),
    })
    expect(diff.oldFiles[0]?.file?.commit?.id).toBe(oldest)
    const { commitInfo } = await pachd.pfs.listCommit({
      repo: { name: repo },
      from: commitOf(repo, 'master~2'),
      to: commitOf(repo, 'master~0'),
    })
    expect(commitInfo.map(({ commit }) => commit?.id)).toEqual([newest, middle])
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'master^'), branch: 'back' })
    expect(await idOf(repo, 'back')).toBe(middle)
    const fork = await pachd.pfs.startCommit({ parent: commitOf(repo, 'master^') })
    await putFile(pachd, fileOf(repo, `${fork.id}~0`, 'b'), 'x')
    await pachd.pfs.deleteFile({ file: fileOf(repo, `${fork.id}^0`, 'b') })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, `${fork.id}~0`) })
    expect(await idOf(repo, `${fork.id}^`)).toBe(middle)
    const open = await pachd.pfs.startCommit({ parent: commitOf(repo, 'master') })
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, `${open.id}~0`) })
    await expect(idOf(repo, open.id)).rejects.toEqual(refused('not-found', 'not found'))
    const { tree } = await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'master') })
    const parent = commitOf(repo, 'master~2')
    const built = await pachd.pfs.buildCommit({ parent, tree: { hash: tree?.hash ?? '' } })
    expect(await idOf(repo, `${built.id}^`)).toBe(oldest)
  })

  test('calls that wait take such names, too', async () => {
    const { repo, ids } = await line()
    const made = await freshRepo(pachd, [repo])
    const { id } = await pachd.pfs.startCommit({
      parent: commitOf(made, ''),
      provenance: [commitOf(repo, ids[1] ?? '')],
    })
    await pachd.pfs.finishCommit({ commit: commitOf(made, id) })
    const flushed = await collect(
      pachd.pfs.flushCommit({ commits: [commitOf(repo, 'master^')], toRepos: [{ name: made }] }),
    )
    expect(flushed.map(({ commit }) => commit?.id)).toEqual([id])
    const request = { repo: { name: repo }, branch: 'master', from: commitOf(repo, 'master~1') }
    for await (const { commit } of pachd.pfs.subscribeCommit(request)) {
      expect(commit?.id).toBe(ids[0])
      break
    }
  })

  test('our own calls take such names, and answer with codes', async () => {
    const { repo, ids } = await line()
    const [batch] = await collect(pachd.files.listFiles({ file: fileOf(repo, 'master^', '/') }))
    expect(batch?.fileInfo[0]?.file?.commit?.id).toBe(ids[1])
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, 'master') })
    async function* puts() {
      await Promise.resolve()
      yield {
        commit: commitOf(repo, `${id}~0`),
        parts: [{ path: '/new', value: new Uint8Array(3) }],
      }
    }
    expect((await pachd.files.putFiles(puts())).files).toBe(1n)
    expect((await pachd.jobs.lineage({ file: fileOf(repo, 'master^', '/a') })).origins).toEqual([])
    const past = pachd.jobs.lineage({ file: fileOf(repo, 'master~3', '/a') })
    await expect(past).rejects.toEqual(
      failed(Code.notFound, 'not-found', `commit ${ids[0]} has only 2 ancestors`),
    )
  })

  test('what is malformed, goes too far or past the first commit is refused', async () => {
    const { repo, ids } = await line()
    for (const [name, kind, text] of [
      ['master~3', 'not-found', `master~3 not found: commit ${ids[0]} has only 2 ancestors`],
      ['master~2^', 'not-found', 'has only 2 ancestors'],
      ['nope^', 'not-found', 'not found'],
      ['master~x', 'invalid-argument', 'commit name "master~x" makes no sense'],
      ['~3', 'invalid-argument', 'makes no sense'],
      ['master~99999999999', 'invalid-argument', 'goes back too far: at most 10000'],
    ] as const) {
      await expect(idOf(repo, name)).rejects.toEqual(refused(kind, text))
    }
  })

  test('new branches cannot be called so', async () => {
    const { repo } = await line()
    for (const branch of ['a^', 'a~1', 'a@b', 'a:b']) {
      const call = pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch })
      await expect(call).rejects.toEqual(refused('invalid-argument', 'is not allowed in it'))
    }
  })

  test('list-job and the specs of pipelines take names of commits, too', async () => {
    const { repo, ids } = await line()
    const name = `${repo}-up`
    const pipeline = (fromCommit: string): Promise<unknown> =>
      pachd.pps.createPipeline({
        pipeline: { name },
        transform: { cmd: ['true'] },
        input: { atom: { repo, branch: 'master', glob: '/', fromCommit } },
      })
    await expect(pipeline('master~7')).rejects.toEqual(refused('not-found', 'ancestors'))
    await pipeline('master^')
    const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(info.input?.atom?.fromCommit).toBe(ids[1])
    const jobsOf = async (commit: string): Promise<number> =>
      (await pachd.pps.listJob({ pipeline: { name }, inputCommit: [commitOf(repo, commit)] }))
        .jobInfo.length
    expect([await jobsOf('master'), await jobsOf('master~0'), await jobsOf('master^')]).toEqual([
      1, 1, 0,
    ])
  })
})

describe('messages', () => {
  test('a message is told by inspect-commit and list-commit', async () => {
    const repo = await freshRepo(pachd)
    const parent = commitOf(repo, '')
    const one = await pachd.pfs.startCommit({ parent, branch: 'master', message: 'first try' })
    const inspect = async (): Promise<string> =>
      (await pachd.pfs.inspectCommit({ commit: one })).message
    expect(await inspect()).toBe('first try')
    await pachd.pfs.finishCommit({ commit: one, message: 'raw\ndata' })
    expect(await inspect()).toBe('raw\ndata')
    await commitFiles(pachd, { repo, branch: 'master' }, {})
    const { commitInfo } = await pachd.pfs.listCommit({ repo: { name: repo } })
    expect(commitInfo.map(({ message }) => message)).toEqual(['', 'raw\ndata'])
    const tree = { hash: commitInfo[0]?.tree?.hash ?? '' }
    const built = await pachd.pfs.buildCommit({ parent, tree, message: 'built' })
    expect((await pachd.pfs.inspectCommit({ commit: built })).message).toBe('built')
  })

  test('a message that is too long is refused, and nothing happens', async () => {
    const repo = await freshRepo(pachd)
    const parent = commitOf(repo, '')
    const message = 'x'.repeat(4097)
    await expect(pachd.pfs.startCommit({ parent, message })).rejects.toEqual(
      refused('invalid-argument', 'at most 4096 bytes are allowed'),
    )
    const commit = await pachd.pfs.startCommit({ parent })
    await expect(pachd.pfs.finishCommit({ commit, message })).rejects.toEqual(
      refused('invalid-argument', 'at most 4096 bytes are allowed'),
    )
    const { commitInfo } = await pachd.pfs.listCommit({ repo: { name: repo } })
    expect(commitInfo).toMatchObject([{ commit: { id: commit.id }, message: '' }])
    expect(commitInfo[0]?.finished).toBeUndefined()
  })
})

describe('commit tags', () => {
  test('a tag is a name of its commit until it is moved or deleted', async () => {
    const { repo, ids } = await line()
    const info = await pachd.commits.tagCommit({ commit: commitOf(repo, 'master^'), tag: 'v1' })
    expect(info).toMatchObject({ tag: 'v1', commit: { repo: { name: repo }, id: ids[1] } })
    expect(info.tagged?.seconds).toBeGreaterThan(0n)
    expect(await getText(pachd, fileOf(repo, 'v1', 'a'))).toBe('2')
    expect(await getText(pachd, fileOf(repo, 'v1^', 'a'))).toBe('1')
    const moved = { commit: commitOf(repo, 'master'), tag: 'v1' }
    await expect(pachd.commits.tagCommit(moved)).rejects.toEqual(
      failed(Code.alreadyExists, 'already-exists', `already exists, at commit ${ids[1]}`),
    )
    await pachd.commits.tagCommit({ ...moved, move: true })
    expect(await idOf(repo, 'v1')).toBe(ids[0])
    await pachd.commits.deleteCommitTag({ repo: { name: repo }, tag: 'v1' })
    await expect(idOf(repo, 'v1')).rejects.toEqual(refused('not-found', 'not found'))
    const again = pachd.commits.deleteCommitTag({ repo: { name: repo }, tag: 'v1' })
    await expect(again).rejects.toEqual(
      failed(Code.notFound, 'not-found', `commit tag v1 of repo ${repo} not found`),
    )
  })

  test('tags are listed, of a repo or of all', async () => {
    const { repo, ids } = await line()
    const other = await line()
    for (const [name, tag] of [
      [repo, 'v2'],
      [repo, 'v1'],
      [other.repo, 'v3'],
    ] as const) {
      await pachd.commits.tagCommit({ commit: commitOf(name, 'master'), tag })
    }
    const listed = await collect(pachd.commits.listCommitTags({ repo: { name: repo } }))
    expect(listed.flatMap(({ tags }) => tags)).toMatchObject([
      { tag: 'v1', commit: { id: ids[0] } },
      { tag: 'v2', commit: { id: ids[0] } },
    ])
    const all = (await collect(pachd.commits.listCommitTags({}))).flatMap(({ tags }) => tags)
    expect(all.map(({ tag, commit }) => `${commit?.repo?.name} ${tag}`)).toEqual(
      expect.arrayContaining([`${repo} v1`, `${repo} v2`, `${other.repo} v3`]),
    )
    const unknown = collect(pachd.commits.listCommitTags({ repo: { name: 'nowhere' } }))
    await expect(unknown).rejects.toEqual(failed(Code.notFound, 'not-found', 'not found'))
  })

  test('a tagged commit stays, and its name is taken', async () => {
    const { repo } = await line()
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await pachd.commits.tagCommit({ commit: commitOf(repo, 'master'), tag: 'draft' })
    await expect(pachd.pfs.deleteCommit({ commit: commitOf(repo, 'draft') })).rejects.toEqual(
      refused('failed-precondition', 'it is tagged draft'),
    )
    const branch = pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch: 'draft' })
    await expect(branch).rejects.toEqual(
      refused('already-exists', 'a commit tag called draft already exists'),
    )
    const tag = pachd.commits.tagCommit({ commit: commitOf(repo, 'master'), tag: 'master' })
    await expect(tag).rejects.toEqual(
      failed(Code.alreadyExists, 'already-exists', 'a branch called master already exists'),
    )
    const pipeline = pachd.pps.createPipeline({
      pipeline: { name: repo },
      transform: { cmd: ['true'] },
      outputBranch: 'draft',
      input: { atom: { repo: await freshRepo(pachd), branch: 'master', glob: '/' } },
    })
    await expect(pipeline).rejects.toEqual(refused('already-exists', 'called draft'))
    await pachd.pfs.deleteRepo({ repo: { name: repo }, force: true })
  })

  test('requests with parts missing or malformed are refused', async () => {
    const { repo } = await line()
    for (const [request, text] of [
      [{ tag: 'v1' }, 'repo name is needed'],
      [{ commit: commitOf(repo, ''), tag: 'v1' }, 'commit id or branch name is needed'],
      [{ commit: commitOf(repo, 'master') }, 'the name of a commit tag is needed'],
      [{ commit: commitOf(repo, 'master'), tag: 'a/b' }, 'slashes'],
      [{ commit: commitOf(repo, 'master~x'), tag: 'v1' }, 'makes no sense'],
    ] as const) {
      await expect(pachd.commits.tagCommit(request)).rejects.toEqual(
        failed(Code.invalidArgument, 'invalid-argument', text),
      )
    }
    expect(await collect(pachd.commits.listCommitTags({ repo: { name: repo } }))).toEqual([])
  })
})

describe('history', () => {
  test('it tells the commits that changed a path, newest first', async () => {
    const { repo, ids } = await line()
    const parent = commitOf(repo, '')
    const { id } = await pachd.pfs.startCommit({ parent, branch: 'master', message: 'no more a' })
    await pachd.pfs.deleteFile({ file: fileOf(repo, id, 'a') })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    const told = async (commit: string, number = 0n): Promise<unknown> => {
      const file = fileOf(repo, commit, './/a')
      const batches = await collect(pachd.files.fileHistory({ file, number }))
      return batches
        .flatMap(({ changes }) => changes)
        .map(({ kind, commitInfo, fileInfo }) => [
          kind,
          commitInfo?.commit?.id,
          fileInfo?.file?.path,
          fileInfo?.sizeBytes,
        ])
    }
    const before = [
      [DiffKind.CHANGED, ids[0], 'a', 1n],
      [DiffKind.CHANGED, ids[1], 'a', 1n],
      [DiffKind.ADDED, ids[2], 'a', 1n],
    ]
    expect(await told('master')).toEqual([[DiffKind.REMOVED, id, undefined, undefined], ...before])
    expect(await told('master^')).toEqual(before)
    expect(await told('master^', 2n)).toEqual(before.slice(0, 2))
    const [batch] = await collect(pachd.files.fileHistory({ file: fileOf(repo, 'master', 'a') }))
    expect(batch?.changes[0]?.commitInfo).toMatchObject({ message: 'no more a', sizeBytes: 0n })
    expect(batch?.changes[0]?.commitInfo?.finished?.seconds).toBeGreaterThan(0n)
  })

  test('a path that never was, and what names nothing, is refused', async () => {
    const { repo } = await line()
    for (const [file, code, kind, text] of [
      [fileOf(repo, 'master', 'b'), Code.notFound, 'not-found', 'nor in any before it'],
      [fileOf(repo, 'nope', 'a'), Code.notFound, 'not-found', 'not found'],
      [fileOf('nowhere', 'master', 'a'), Code.notFound, 'not-found', 'not found'],
      [fileOf(repo, 'master', '../a'), Code.invalidArgument, 'invalid-argument', 'root'],
      [fileOf(repo, '', 'a'), Code.invalidArgument, 'invalid-argument', 'is needed'],
    ] as const) {
      await expect(collect(pachd.files.fileHistory({ file }))).rejects.toEqual(
        failed(code, kind, text),
      )
    }
    const number = 2n ** 63n
    const call = collect(pachd.files.fileHistory({ file: fileOf(repo, 'master', 'a'), number }))
    await expect(call).rejects.toEqual(failed(Code.invalidArgument, 'invalid-argument', 'number'))
  })
})
