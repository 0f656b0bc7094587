import { afterAll, beforeAll, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { WebServer } from '../harness/web-server.ts'

// Calls that end the commit that they put into: docs/files.md.

let pachd: TestPachd
let web: WebServer

beforeAll(async () => {
  pachd = await TestPachd.start()
  web = await WebServer.start()
  web.file('/there', utf8('from the web'))
})

afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
  await web[Symbol.asyncDispose]()
})

async function openCommit(): Promise<{ readonly repo: string; readonly id: string }> {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return { repo, id }
}

/** The branch's name says where the commit is; it is to be ended all the same. */
async function* upload(repo: string, path: string) {
  yield {
    commit: commitOf(repo, 'master'),
    endsCommit: true,
    parts: [{ path, value: utf8('whole') }],
  }
}

function fetched(repo: string, path: string) {
  const sources = [{ url: `${web.url}${path}`, path: 'x' }]
  return collect(
    pachd.files.putSources({ commit: commitOf(repo, 'master'), sources, endsCommit: true }),
  )
}

async function isFinished(repo: string, id: string): Promise<boolean> {
  const { finished } = await pachd.pfs.inspectCommit({ commit: commitOf(repo, id) })
  return finished !== undefined
}

async function branchCount(repo: string): Promise<number> {
  return (await pachd.pfs.listBranch({ repo: { name: repo } })).branchInfo.length
}

test('what is put whole is finished', async () => {
  const sent = await openCommit()
  expect(await pachd.files.putFiles(upload(sent.repo, 'x'))).toMatchObject({ endedCommit: true })
  expect(await isFinished(sent.repo, sent.id)).toBe(true)
  const asked = await openCommit()
  expect((await fetched(asked.repo, '/there')).at(-1)).toMatchObject({ endedCommit: true })
  expect(await getText(pachd, fileOf(asked.repo, asked.id, 'x'))).toBe('from the web')
  expect(await isFinished(asked.repo, asked.id)).toBe(true)
})

test('when a put fails, no commit is left, nor a branch that was made for it', async () => {
  const sent = await openCommit()
  await expect(pachd.files.putFiles(upload(sent.repo, '../x'))).rejects.toThrow('path')
  expect(await branchCount(sent.repo)).toBe(0)
  const asked = await openCommit()
  await expect(fetched(asked.repo, '/none')).rejects.toEqual(
    failed(Code.notFound, 'not-found', '404'),
  )
  expect(await branchCount(asked.repo)).toBe(0)
})

test('when the caller is gone midway, no commit is left', async () => {
  const { repo } = await openCommit()
  const stop = new AbortController()
  async function* half() {
    yield { commit: commitOf(repo, 'master'), endsCommit: true }
    // More than may be on its way: when the next is asked for, the server has taken the first.
    const value = new Uint8Array(16_000_000)
    for (let count = 0; count < 2; count += 1)
      yield { parts: [{ path: 'half', value, more: true }] }
    stop.abort()
    await new Promise(() => undefined)
  }
  await expect(pachd.files.putFiles(half(), { signal: stop.signal })).rejects.toThrow(/cancel/i)
  // The server hears of it a little later.
  await expect.poll(() => branchCount(repo)).toBe(0)
})

test('what others have put meanwhile was acknowledged, and stays', async () => {
  const { repo, id } = await openCommit()
  await putFile(pachd, fileOf(repo, 'master', 'theirs'), 'acknowledged')
  await expect(fetched(repo, '/none')).rejects.toThrow('404')
  expect(await isFinished(repo, id)).toBe(true)
  expect(await getText(pachd, fileOf(repo, id, 'theirs'))).toBe('acknowledged')
})
