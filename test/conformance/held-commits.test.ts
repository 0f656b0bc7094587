import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { ChildProgram, runProgram } from '../harness/child-program.ts'
import { freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'
import { WebServer } from '../harness/web-server.ts'

const pachctl = fileURLToPath(new URL('../../bin/pachctl', import.meta.url))
const branch = 'master'

async function pathsOf(client: TestClient, repo: string): Promise<readonly (string | undefined)[]> {
  const { fileInfo } = await client.pfs.globFile({ commit: commitOf(repo, branch), pattern: '/*' })
  return fileInfo.map(({ file }) => file?.path)
}

async function stateOf(client: TestClient, repo: string) {
  const { commit, finished } = await client.pfs.inspectCommit({ commit: commitOf(repo, branch) })
  return { id: commit?.id, isFinished: finished !== undefined }
}

/** `put-file -c` of a URL and of a local file that never ends, when the former has come. */
async function puttingBoth(
  client: TestClient,
  { port, repo, directory, url }: { port: number; repo: string; directory: string; url: string },
): Promise<ChildProgram> {
  await runProgram('mkfifo', ['endless'], { directory })
  const sources = ['-f', url, '-f', 'endless']
  const command = ['put-file', repo, branch, 'both', '-c', ...sources]
  const environment = { ADDRESS: `127.0.0.1:${port}` }
  const program = new ChildProgram(pachctl, command, { directory, environment })
  await expect
    .poll(async () => {
      program.requireRunning()
      return pathsOf(client, repo)
    })
    .toContain('/both')
  return program
}

test('a command of two calls whose caller is killed between them leaves the branch as it was', async () => {
  await using pachd = await TestPachd.start()
  await using web = await WebServer.start()
  await using directory = await TemporaryDirectory.create()
  web.file('/there', utf8('from the web'))
  const repo = await freshRepo(pachd)
  const id = await commitFiles(pachd, { repo, branch }, { before: 'before' })
  const place = { port: pachd.port, repo, directory: directory.path, url: `${web.url}/there` }
  const program = await puttingBoth(pachd, place)
  await program[Symbol.asyncDispose]()
  await expect.poll(() => stateOf(pachd, repo)).toEqual({ id, isFinished: true })
  expect(await pathsOf(pachd, repo)).toEqual(['/before'])
})

test('so does one whose server is killed, and what others have put meanwhile stays', async () => {
  await using web = await WebServer.start()
  await using directory = await TemporaryDirectory.create()
  web.file('/there', utf8('from the web'))
  const args = oneDoor(directory.join('data'))
  const ids: Record<string, string> = {}
  {
    await using pachd = new ChildPachd(args)
    const port = await pachd.ready
    await using client = new TestClient(port)
    for (const repo of ['ours', 'shared']) {
      await client.pfs.createRepo({ repo: { name: repo } })
      ids[repo] = await commitFiles(client, { repo, branch }, { before: 'before' })
    }
    const place = { port, repo: 'ours', directory: directory.path, url: `${web.url}/there` }
    await using _ = await puttingBoth(client, place)
    const held = client.commits.holdCommit({ repo: { name: 'shared' }, branch })
    const first = await held[Symbol.asyncIterator]().next()
    const id = first.done === true ? undefined : first.value.commit?.id
    async function* theirs() {
      yield { commit: commitOf('shared', branch), parts: [{ path: 'theirs', value: utf8('x') }] }
    }
    await client.files.putFiles(theirs())
    expect(id).not.toBe(ids['shared'])
    ids['shared'] = id ?? ''
    pachd.signal('SIGKILL')
    await pachd.exit
  }
  await using pachd = new ChildPachd(args)
  await using client = new TestClient(await pachd.ready)
  for (const [repo, paths] of [
    ['ours', ['/before']],
    ['shared', ['/before', '/theirs']],
  ] as const) {
    expect(await stateOf(client, repo)).toEqual({ id: ids[repo], isFinished: true })
    expect(await pathsOf(client, repo)).toEqual(paths)
  }
})

test('a local file that cannot be read to its end is named, and leaves the branch as it was', async () => {
  await using pachd = await TestPachd.start()
  await using directory = await TemporaryDirectory.create()
  await writeFile(directory.join('whole'), 'whole')
  const repo = await freshRepo(pachd)
  const id = await commitFiles(pachd, { repo, branch }, { before: 'before' })
  // No read of it succeeds.
  const broken = '/proc/self/mem'
  for (const sources of [[broken], [directory.join('whole'), broken]]) {
    const flags = sources.flatMap((source) => ['-f', source])
    const command = ['put-file', repo, branch, 'x', '-c', ...flags]
    const run = await pachctlHere(command, { port: pachd.port, home: directory.path })
    expect(run).toEqual({ code: 1, out: '', err: `${broken}: i/o error\n` })
    expect(await stateOf(pachd, repo)).toEqual({ id, isFinished: true })
    expect(await pathsOf(pachd, repo)).toEqual(['/before'])
  }
})

test('a part whose source fails gives the commit up', async () => {
  await using pachd = await TestPachd.start()
  await using web = await WebServer.start()
  const repo = await freshRepo(pachd)
  const held = pachd.commits.holdCommit({ repo: { name: repo }, branch })[Symbol.asyncIterator]()
  await held.next()
  const sources = [{ url: `${web.url}/none`, path: 'x' }]
  const request = { commit: commitOf(repo, branch), sources, isPart: true }
  await expect(collect(pachd.files.putSources(request))).rejects.toThrow('404')
  expect((await pachd.pfs.listCommit({ repo: { name: repo } })).commitInfo).toEqual([])
  await held.return?.()
})

test('a commit that was finished stays when its holder lets go', async () => {
  await using pachd = await TestPachd.start()
  const repo = await freshRepo(pachd)
  const held = pachd.commits.holdCommit({ repo: { name: repo }, branch, message: 'mine' })
  for await (const { commit } of held) {
    const id = commit?.id ?? ''
    async function* file() {
      yield { commit: commitOf(repo, id), parts: [{ path: 'a', value: utf8('a') }] }
    }
    await pachd.files.putFiles(file())
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    break
  }
  expect(await getText(pachd, fileOf(repo, branch, 'a'))).toBe('a')
  const { message } = await pachd.pfs.inspectCommit({ commit: commitOf(repo, branch) })
  expect(message).toBe('mine')
})
